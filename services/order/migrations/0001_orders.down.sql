DROP TABLE orders, order_events;
