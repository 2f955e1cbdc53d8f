DROP TABLE favourites, addresses;
