DROP TABLE movements, reservation_lines, reservations, stock;
DROP FUNCTION refuse_change();
