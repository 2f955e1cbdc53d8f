-- The IPv6 /48 that the code was asked for from, beside its /64. Absent: IPv4, an unknown proxy, or a pod of the release before.
ALTER TABLE phone_codes ADD COLUMN site text;
CREATE INDEX phone_codes_site ON phone_codes (site, sent_at);
