DROP FUNCTION images_of;
DROP TABLE images;
DROP FUNCTION discard_image;
DROP TABLE discarded_images;
