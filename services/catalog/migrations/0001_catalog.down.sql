DROP TABLE products, categories;
