DROP TRIGGER products_learn_words ON products;
DROP FUNCTION learn_words, words_of;
-- The extension stays: somebody else may have added it, or use it.
DROP TABLE words;
