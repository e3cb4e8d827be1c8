CREATE TABLE country (country_id int PRIMARY KEY, label text NOT NULL);
CREATE TABLE customer (customer_id int PRIMARY KEY, name text NOT NULL, country_id int, code text);
CREATE TABLE orders (
    order_id int PRIMARY KEY,
    customer_id int NOT NULL,
    amount numeric(10,2) NOT NULL,
    due text NOT NULL,
    note text,
    created_at timestamp(3) NOT NULL,
    last_updated timestamp(3) NOT NULL
);
INSERT INTO country VALUES (1, 'Utopia'), (2, 'Erewhon');
INSERT INTO customer SELECT i, 'customer ' || i, 1 + i % 2, i::text FROM generate_series(1, 20) i;
INSERT INTO orders
SELECT i, 1 + i % 20, i * 1.25, '2026-03-01', CASE WHEN i % 3 = 0 THEN 'note ' || i END,
       timestamp '2026-01-10 09:00:00' + i * interval '1 minute',
       timestamp '2026-01-10 09:00:00' + i * interval '1 minute'
  FROM generate_series(1, 3000) i;
