-- Shaped like the well-known film rental samples: enum, domain, arrays, tsvector, a partitioned payment table, views.
CREATE TYPE rating AS ENUM ('G', 'PG', 'NC-17');
CREATE DOMAIN release_year AS integer CHECK (VALUE BETWEEN 1901 AND 2155);
CREATE TABLE country (country_id serial PRIMARY KEY, country text NOT NULL, last_update timestamptz NOT NULL DEFAULT now());
CREATE TABLE city (city_id serial PRIMARY KEY, city text NOT NULL, country_id int NOT NULL REFERENCES country,
    last_update timestamptz NOT NULL DEFAULT now());
CREATE TABLE address (address_id serial PRIMARY KEY, address text NOT NULL, district text NOT NULL,
    city_id int NOT NULL REFERENCES city, postal_code text, last_update timestamptz NOT NULL DEFAULT now());
CREATE TABLE store (store_id serial PRIMARY KEY, manager_staff_id int NOT NULL UNIQUE, address_id int NOT NULL REFERENCES address);
CREATE TABLE staff (staff_id serial PRIMARY KEY, first_name text NOT NULL, address_id int NOT NULL REFERENCES address,
    store_id int NOT NULL REFERENCES store, active boolean NOT NULL DEFAULT true, picture bytea);
ALTER TABLE store ADD FOREIGN KEY (manager_staff_id) REFERENCES staff;
CREATE TABLE customer (customer_id serial PRIMARY KEY, store_id int NOT NULL REFERENCES store, first_name text NOT NULL,
    email text, address_id int NOT NULL REFERENCES address, create_date date NOT NULL DEFAULT current_date);
CREATE TABLE language (language_id serial PRIMARY KEY, name char(20) NOT NULL);
CREATE TABLE film (film_id serial PRIMARY KEY, title text NOT NULL, release_year release_year,
    language_id int NOT NULL REFERENCES language, original_language_id int REFERENCES language,
    rental_rate numeric(4,2) NOT NULL DEFAULT 4.99, rating rating DEFAULT 'G', special_features text[], fulltext tsvector);
CREATE TABLE actor (actor_id serial PRIMARY KEY, first_name text NOT NULL);
CREATE TABLE film_actor (actor_id int REFERENCES actor, film_id int REFERENCES film, PRIMARY KEY (actor_id, film_id));
CREATE TABLE inventory (inventory_id serial PRIMARY KEY, film_id int NOT NULL REFERENCES film, store_id int NOT NULL REFERENCES store);
CREATE TABLE rental (rental_id serial PRIMARY KEY, rental_date timestamptz NOT NULL, inventory_id int NOT NULL REFERENCES inventory,
    customer_id int NOT NULL REFERENCES customer, return_date timestamptz, staff_id int NOT NULL REFERENCES staff,
    last_update timestamptz NOT NULL DEFAULT now(), UNIQUE (rental_date, inventory_id, customer_id));
CREATE TABLE payment (payment_id int NOT NULL, customer_id int NOT NULL REFERENCES customer, rental_id int NOT NULL REFERENCES rental,
    amount numeric(5,2) NOT NULL, payment_date timestamptz NOT NULL, PRIMARY KEY (payment_date, payment_id))
    PARTITION BY RANGE (payment_date);
CREATE TABLE payment_p1 PARTITION OF payment FOR VALUES FROM ('2022-01-01') TO ('2022-02-01');
CREATE TABLE payment_p2 PARTITION OF payment FOR VALUES FROM ('2022-02-01') TO ('2022-03-01');
CREATE VIEW customer_list AS SELECT customer_id AS id, first_name AS "zip code" FROM customer;
CREATE MATERIALIZED VIEW rental_by_category AS SELECT 'Action'::text AS category, 1::numeric AS total_sales;
CREATE UNIQUE INDEX ON rental_by_category (category);
INSERT INTO country (country) VALUES ('Utopia');
