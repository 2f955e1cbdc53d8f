-- The client network (IPv4 address, IPv6 /64) of each open order of an account without a verified e-mail address. A
-- row goes within a minute after the order is paid or has ended.
CREATE TABLE order_networks (
    order_id uuid PRIMARY KEY,
    network  text NOT NULL
);
CREATE INDEX order_networks_of ON order_networks (network);
