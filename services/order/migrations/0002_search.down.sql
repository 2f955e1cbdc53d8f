DROP INDEX orders_with_line, orders_by_total, orders_of_state;
