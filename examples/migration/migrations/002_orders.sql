CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer bigint NOT NULL REFERENCES customers,
  cents bigint NOT NULL CHECK (cents >= 0),
  placed timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX orders_by_customer ON orders (customer, placed);
