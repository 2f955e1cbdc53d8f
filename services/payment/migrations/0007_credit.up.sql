-- Store credit, by double entry: each transaction moves an amount between accounts, and its
-- entries add up to zero. The customers' accounts are what the shop owes them.
CREATE SCHEMA credit;

CREATE TABLE credit.accounts (
    id       uuid PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('customer', 'issued', 'sales')),
    user_id  uuid,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- What the entries add up to. Customers' only: it is what may not become negative, and its row
    -- is what two purchases at the same time queue for. The shop's own accounts would make all
    -- customers queue.
    balance  bigint CONSTRAINT accounts_balance CHECK (balance >= 0),
    CHECK ((kind = 'customer') = (user_id IS NOT NULL)),
    CHECK ((kind = 'customer') = (balance IS NOT NULL)),
    UNIQUE NULLS NOT DISTINCT (kind, user_id, currency)
);

-- Its id is the idempotency key of whoever has asked for it.
CREATE TABLE credit.transactions (
    id         uuid PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('grant', 'charge', 'refund')),
    -- What was paid with it.
    order_id   uuid,
    -- The charge that is given back.
    charge_id  uuid REFERENCES credit.transactions,
    -- Why it was granted, and by whom.
    reason     text,
    granted_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'grant') = (reason IS NOT NULL AND granted_by IS NOT NULL)),
    CHECK ((kind = 'charge') = (order_id IS NOT NULL)),
    CHECK ((kind = 'refund') = (charge_id IS NOT NULL))
);
CREATE INDEX transactions_charge ON credit.transactions (charge_id);

CREATE TABLE credit.entries (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id uuid NOT NULL REFERENCES credit.transactions,
    account_id     uuid NOT NULL REFERENCES credit.accounts,
    -- Minor units; added to the account.
    amount         bigint NOT NULL,
    UNIQUE (transaction_id, account_id)
);
CREATE INDEX entries_account ON credit.entries (account_id, id);

-- Judged at commit, when all entries of a transaction are there.
CREATE FUNCTION credit.check_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT sum(amount) <> 0 OR count(*) < 2 OR count(DISTINCT currency) <> 1
        FROM credit.entries JOIN credit.accounts ON accounts.id = account_id
        WHERE transaction_id = NEW.transaction_id) THEN
        RAISE EXCEPTION 'transaction % does not balance', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_balance';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entries_balance AFTER INSERT ON credit.entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION credit.check_transaction();

-- What is in the books stays there; mistakes are mended by another transaction.
CREATE FUNCTION credit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the books are only appended to' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE ON credit.entries
    FOR EACH ROW EXECUTE FUNCTION credit.refuse_change();
