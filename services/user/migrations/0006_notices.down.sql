DROP INDEX favourites_of_product;
DROP TABLE notices;
