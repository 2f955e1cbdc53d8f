-- The password of the first administrator as the operator gave it last, as a PHC string. It tells a
-- password that is given anew from one that the administrator has chosen since.
CREATE TABLE first_administrator (
    user_id       uuid PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    password_hash text NOT NULL
);
