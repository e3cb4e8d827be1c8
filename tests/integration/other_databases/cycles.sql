-- Shaped like the well-known bicycle maker sample: many schemas, domains that are NOT NULL, uuids, xml, short view schemas.
CREATE SCHEMA person;
CREATE SCHEMA production;
CREATE SCHEMA sales;
CREATE SCHEMA hr;
CREATE SCHEMA pe;
CREATE DOMAIN "Name" varchar(50) NULL;
CREATE DOMAIN "Flag" boolean NOT NULL;
CREATE DOMAIN "AccountNumber" varchar(15) NULL;
CREATE TABLE person.businessentity (businessentityid serial PRIMARY KEY, rowguid uuid NOT NULL DEFAULT gen_random_uuid(),
    modifieddate timestamp NOT NULL DEFAULT now());
COMMENT ON TABLE person.businessentity IS 'Source of the ID that connects vendors, customers, and employees.';
CREATE TABLE person.person (businessentityid int PRIMARY KEY REFERENCES person.businessentity, persontype char(2) NOT NULL,
    namestyle "Flag", firstname "Name" NOT NULL, demographics xml, modifieddate timestamp NOT NULL DEFAULT now());
CREATE TABLE person.address (addressid serial PRIMARY KEY, city varchar(30) NOT NULL, spatiallocation bytea);
CREATE TABLE hr.employee (businessentityid int PRIMARY KEY REFERENCES person.person, loginid varchar(256) NOT NULL,
    salariedflag "Flag", hiredate date NOT NULL, organizationnode varchar DEFAULT '/');
CREATE TABLE hr.department (departmentid serial PRIMARY KEY, name "Name" NOT NULL);
CREATE TABLE hr.employeedepartmenthistory (businessentityid int REFERENCES hr.employee, departmentid int REFERENCES hr.department,
    startdate date, enddate date, PRIMARY KEY (businessentityid, startdate, departmentid));
CREATE TABLE production.product (productid serial PRIMARY KEY, name "Name" NOT NULL, listprice numeric NOT NULL, finishedgoodsflag "Flag");
CREATE TABLE production.department (id serial PRIMARY KEY);
CREATE TABLE sales.customer (customerid serial PRIMARY KEY, personid int REFERENCES person.person, accountnumber "AccountNumber");
CREATE TABLE sales.salesorderheader (salesorderid serial PRIMARY KEY, orderdate timestamp NOT NULL DEFAULT now(),
    customerid int NOT NULL REFERENCES sales.customer, billtoaddressid int NOT NULL REFERENCES person.address,
    shiptoaddressid int NOT NULL REFERENCES person.address, purchaseordernumber varchar(25), subtotal numeric NOT NULL,
    totaldue numeric, rowguid uuid NOT NULL DEFAULT gen_random_uuid(), modifieddate timestamp NOT NULL DEFAULT now());
CREATE TABLE sales.salesorderdetail (salesorderid int REFERENCES sales.salesorderheader, salesorderdetailid serial,
    productid int NOT NULL REFERENCES production.product, orderqty smallint NOT NULL, unitprice numeric NOT NULL,
    PRIMARY KEY (salesorderid, salesorderdetailid));
CREATE VIEW pe.p AS SELECT businessentityid AS id, * FROM person.person;
INSERT INTO person.businessentity DEFAULT VALUES;
INSERT INTO person.person VALUES (1, 'EM', true, 'Ada', NULL);
