-- Shaped like the well-known employees sample: composite keys with date ranges, char keys, a schema of its own.
CREATE SCHEMA employees;
CREATE TYPE employees.employee_gender AS ENUM ('M', 'F');
CREATE TABLE employees.department (id char(4) PRIMARY KEY, dept_name varchar(40) NOT NULL UNIQUE);
CREATE TABLE employees.employee (id bigserial PRIMARY KEY, birth_date date NOT NULL, first_name varchar(14) NOT NULL,
    gender employees.employee_gender NOT NULL, hire_date date NOT NULL);
CREATE TABLE employees.department_employee (employee_id bigint REFERENCES employees.employee, department_id char(4) REFERENCES employees.department,
    from_date date NOT NULL, to_date date NOT NULL, PRIMARY KEY (employee_id, department_id));
CREATE TABLE employees.salary (employee_id bigint REFERENCES employees.employee, amount bigint NOT NULL, from_date date, to_date date NOT NULL,
    PRIMARY KEY (employee_id, from_date));
CREATE TABLE employees.title (employee_id bigint REFERENCES employees.employee, title varchar(50), from_date date, to_date date,
    PRIMARY KEY (employee_id, title, from_date));
INSERT INTO employees.department VALUES ('d001', 'Marketing');
INSERT INTO employees.employee VALUES (1, '1953-09-02', 'Ada', 'F', '1986-06-26');
INSERT INTO employees.salary VALUES (1, 60117, '1986-06-26', '9999-01-01');
