DROP TABLE product_ratings, reviews;
