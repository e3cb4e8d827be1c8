-- Everything that a stranger's database may hold: names, types, kinds of relations, keys.
CREATE SCHEMA "My Schema";
CREATE SCHEMA other;
CREATE SCHEMA empty;
CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"');
CREATE TYPE "My Schema"."Kind(3)" AS ENUM ('a', 'b');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE DOMAIN short AS varchar(7) NOT NULL;
CREATE DOMAIN amount AS numeric(12,3) CHECK (VALUE >= 0);
CREATE DOMAIN nested AS amount;
CREATE DOMAIN many AS text[];

CREATE TABLE types (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    a smallint, b int, c bigint, d real, e double precision, f numeric, g numeric(35,5), h numeric(60,2),
    i boolean, j date, k timestamp, l timestamp(0), m timestamptz, n timestamptz(3), o time, p time(3), q timetz,
    r interval, s interval day to second(3), t text, u varchar, v varchar(9), w char(4), x bpchar, y "char", z name,
    aa bytea, ab uuid, ac json, ad jsonb, ae xml, af money, ag inet, ah cidr, ai macaddr, aj bit(5), ak bit varying(9),
    al tsvector, am tsquery, an point, ao line, ap polygon, aq circle, ar oid, at regclass, au pg_lsn, av xid,
    aw int4range, ax tstzrange, ay int4multirange, az int[], ba text[][], bb numeric(10,2)[], bc timestamptz[],
    bd mood, be mood[], bf "My Schema"."Kind(3)", bg pair, bh floats, bi short, bj amount, bk nested, bl many,
    bm amount[], bn jsonpath, bo int GENERATED ALWAYS AS (b * 2) STORED, bp serial, bq pg_catalog.pg_class
);
INSERT INTO types (b, bi) VALUES (1, 'x');
INSERT INTO types (a, b, c, d, e, f, g, i, j, k, m, o, q, r, t, y, aa, ab, ac, af, ag, aj, an, az, bd, bf, bg, bi, bj, bk, bl)
VALUES (1, 2, 3, 1.5, 'NaN', 1e30, 1.5, true, '2024-02-29', now(), now(), '24:00', '12:00+01', '1 day', 'x', 'y', '\x00',
        gen_random_uuid(), '{"a": 1, "a": 2}', 12, '::1', '10101', '(1,2)', '{1,NULL}', 'it''s "ok"', 'a', '(1,x)',
        'x', 1.5, 2.5, '{a}');

CREATE TABLE "Mixed Case" ("Id" int PRIMARY KEY, "Order" int, "select" text, "a""b`c'd" text, "Größe 😀" text, "日本" text,
    "a.b" int, "$x" int, "yes" text, "null" text, "<<" int, "123" int, " " int, "%s" text, "a,b;c{d}(e)=f" int,
    version int, last text, "is_current" bool, "2nd" int);
COMMENT ON TABLE "Mixed Case" IS E'It''s "all":\n  a # mess, really; - {x: y}\t$$ \\ 😀';
COMMENT ON COLUMN "Mixed Case"."Order" IS E'Line one\r\nline two\u2028three \x01 *x &y !z |\\';
COMMENT ON COLUMN "Mixed Case"."select" IS '   ';
INSERT INTO "Mixed Case" ("Id") VALUES (1);
CREATE TABLE "select" ("from" text PRIMARY KEY, "table" int REFERENCES "Mixed Case", created_at timestamptz, created_date int,
    created_time int, record_id int, select_record_id int, version int, updated_at timestamptz);
CREATE TABLE "日本" ("キー" uuid PRIMARY KEY, "Id" int REFERENCES "Mixed Case");
CREATE TABLE "中国" ("键" int PRIMARY KEY);
CREATE TABLE "quote""`'s" (id int PRIMARY KEY);
CREATE TABLE "a\b" (id int PRIMARY KEY);
CREATE TABLE "percent %s {x} %(y)s" (id int PRIMARY KEY, "%(y)s" int);
CREATE TABLE "2020" (id int PRIMARY KEY, x int REFERENCES "quote""`'s");
CREATE TABLE date (date date PRIMARY KEY);
CREATE TABLE "order" (id int PRIMARY KEY, "order" int REFERENCES "2020");
CREATE TABLE order_current (id int PRIMARY KEY, x int REFERENCES "2020", order_date date NOT NULL);
CREATE TABLE "OrderCurrent" (id int PRIMARY KEY, x int REFERENCES "2020");
CREATE TABLE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa (
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa int PRIMARY KEY,
    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab int REFERENCES "2020");
CREATE TABLE aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab (
    id int PRIMARY KEY, x int REFERENCES aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa);

CREATE TABLE case_twins (id int PRIMARY KEY, name text, "Name" text, "NAME" text);
CREATE TABLE key_twins ("ID" text, id int PRIMARY KEY);
CREATE TABLE "Twin" (id int PRIMARY KEY);
CREATE TABLE twin (id int PRIMARY KEY);
CREATE TABLE the_lakes_own (id int PRIMARY KEY, _batch int, "_OP" int, _old_id int, _file text, _id int);
CREATE TABLE bad_key (_batch int PRIMARY KEY, x int);
CREATE TABLE no_columns ();
CREATE TABLE only_bad (_batch int);
CREATE TABLE with_dropped (gone int, id int PRIMARY KEY, gone_too text);
ALTER TABLE with_dropped DROP COLUMN gone, DROP COLUMN gone_too;
CREATE TABLE other."Mixed Case" (id int PRIMARY KEY);
CREATE TABLE other.types (id int PRIMARY KEY, parent int REFERENCES other.types);
CREATE TABLE "My Schema"."T 1" ("K 1" int, "K 2" text, amount numeric, PRIMARY KEY ("K 2", "K 1"));
CREATE TABLE "My Schema".other_types (id int PRIMARY KEY);

CREATE TABLE no_key (a int, b text);
CREATE TABLE "no key: {x}" (a int, "b: c" text DEFAULT '#');
CREATE TABLE unique_nullable (a int UNIQUE, b text);
CREATE TABLE unique_partial (a int NOT NULL, b text);
CREATE UNIQUE INDEX ON unique_partial (a) WHERE b IS NULL;
CREATE TABLE unique_expression (a text NOT NULL);
CREATE UNIQUE INDEX ON unique_expression (lower(a));
CREATE TABLE unique_deferred (a int NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE unique_good (a int, b int NOT NULL, c int NOT NULL, d int NOT NULL, UNIQUE (b, c), UNIQUE (a), UNIQUE (b, c, d));
CREATE TABLE unique_include (b int NOT NULL, c text);
CREATE UNIQUE INDEX ON unique_include (b) INCLUDE (c);
CREATE TABLE deferred_primary (a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);

CREATE TABLE parted (id int, day date, x text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_2023 PARTITION OF parted FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
CREATE TABLE parted_2024_1 PARTITION OF parted_2024 FOR VALUES IN (1);
INSERT INTO parted VALUES (1, '2023-05-05', 'x'), (1, '2024-05-05', 'y');
CREATE TABLE parted_no_key (id int) PARTITION BY LIST (id);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);

CREATE VIEW a_view AS SELECT id, t FROM types;
CREATE VIEW broken_view AS SELECT 1 / (id - id) AS x FROM types;
CREATE MATERIALIZED VIEW mat AS SELECT id, t, now() AS at FROM types;
CREATE MATERIALIZED VIEW mat_keyed AS SELECT id, t, bd FROM types;
CREATE UNIQUE INDEX ON mat_keyed (id);
CREATE MATERIALIZED VIEW mat_null AS SELECT nullif(id, 1) AS id FROM types;
CREATE UNIQUE INDEX ON mat_null (id);
CREATE MATERIALIZED VIEW mat_empty AS SELECT id FROM types WITH NO DATA;
CREATE UNIQUE INDEX ON mat_empty (id);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER away FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int NOT NULL, x text) SERVER away;
CREATE TABLE near_and_far (id int NOT NULL, x text) PARTITION BY LIST (id);
CREATE FOREIGN TABLE far_part PARTITION OF near_and_far FOR VALUES IN (2) SERVER away;
CREATE TABLE secured (id int PRIMARY KEY);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
