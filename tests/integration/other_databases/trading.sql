-- Shaped like the well-known trading company sample: text keys, quoted names, details with a composite key.
CREATE TABLE categories (category_id smallint PRIMARY KEY, category_name varchar(15) NOT NULL, picture bytea);
CREATE TABLE customers (customer_id varchar(5) PRIMARY KEY, company_name varchar(40) NOT NULL, region varchar(15));
CREATE TABLE customer_demographics (customer_type_id varchar(5) PRIMARY KEY, customer_desc text);
CREATE TABLE customer_customer_demo (customer_id varchar(5) REFERENCES customers, customer_type_id varchar(5) REFERENCES customer_demographics,
    PRIMARY KEY (customer_id, customer_type_id));
CREATE TABLE employees (employee_id smallint PRIMARY KEY, last_name varchar(20) NOT NULL, hire_date date, reports_to smallint REFERENCES employees);
CREATE TABLE suppliers (supplier_id smallint PRIMARY KEY, company_name varchar(40) NOT NULL);
CREATE TABLE products (product_id smallint PRIMARY KEY, product_name varchar(40) NOT NULL, supplier_id smallint REFERENCES suppliers,
    category_id smallint REFERENCES categories, unit_price real, discontinued int NOT NULL);
CREATE TABLE shippers (shipper_id smallint PRIMARY KEY, company_name varchar(40) NOT NULL);
CREATE TABLE orders (order_id smallint PRIMARY KEY, customer_id varchar(5) REFERENCES customers, employee_id smallint REFERENCES employees,
    order_date date, shipped_date date, ship_via smallint REFERENCES shippers, freight real);
CREATE TABLE order_details (order_id smallint REFERENCES orders, product_id smallint REFERENCES products, unit_price real NOT NULL,
    quantity smallint NOT NULL, PRIMARY KEY (order_id, product_id));
CREATE TABLE us_states (state_id smallint PRIMARY KEY, state_name varchar(100));
INSERT INTO customers VALUES ('ABCDE', 'A company', NULL);
INSERT INTO orders VALUES (1, 'ABCDE', NULL, '1996-07-04', NULL, NULL, 1.5);
