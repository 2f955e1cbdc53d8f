DROP TABLE order_networks;
