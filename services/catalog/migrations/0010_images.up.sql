-- Images of products. What they look like is in the object store (services/catalog/src/image.rs).
CREATE TABLE images (
    id         uuid PRIMARY KEY,
    product_id uuid NOT NULL REFERENCES products ON DELETE CASCADE,
    -- Its place among those of its product, from 0 and without gaps.
    position   integer NOT NULL CHECK (position >= 0),
    -- What it shows, for those who do not see it.
    alt        text NOT NULL,
    format     text NOT NULL CHECK (format IN ('jpeg', 'webp')),
    width      integer NOT NULL CHECK (width > 0),
    height     integer NOT NULL CHECK (height > 0),
    -- Widths of the sizes that there are of it, ascending; the last is its own.
    widths     integer[] NOT NULL CHECK (cardinality(widths) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Deferred, because changing places is many updates.
    UNIQUE (product_id, position) DEFERRABLE INITIALLY DEFERRED
);

-- Objects that no image of a product has: of uploads that are under way, and of images that are gone.
-- Whatever an upload stores is noted here before, so that what it leaves when it breaks off is found.
CREATE TABLE discarded_images (
    id     uuid PRIMARY KEY,
    format text NOT NULL,
    widths integer[] NOT NULL,
    -- When they are to be deleted.
    due    timestamptz NOT NULL
);
CREATE INDEX discarded_images_by_due ON discarded_images (due);

-- In the database and not in the program, because products take their images with them when they are
-- deleted. The pause is for pages that were shown just before: the cache holds products for five minutes.
CREATE FUNCTION discard_image() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO discarded_images (id, format, widths, due)
    VALUES (OLD.id, OLD.format, OLD.widths, now() + interval '10 minutes')
    ON CONFLICT (id) DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER images_discard AFTER DELETE ON images
    FOR EACH ROW EXECUTE FUNCTION discard_image();

-- The images of a product, in their order, as the program reads them.
CREATE FUNCTION images_of(product uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object(
        'id', id, 'alt', alt, 'format', format, 'width', width, 'height', height, 'widths', widths
    ) ORDER BY position), '[]') FROM images WHERE product_id = product
$$;
