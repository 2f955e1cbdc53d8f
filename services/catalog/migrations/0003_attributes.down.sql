DROP INDEX products_by_attributes;
