-- Where codes went to, and from where they were asked for: messages to some countries are expensive, and their operators are paid for each.
ALTER TABLE phone_codes
    -- What numbers of the country begin with; absent: sent by a version that did not count by it.
    ADD COLUMN country text,
    -- Absent: the client is behind a proxy that is not known.
    ADD COLUMN network text;
CREATE INDEX phone_codes_country ON phone_codes (country, sent_at);
CREATE INDEX phone_codes_network ON phone_codes (network, sent_at);
