-- The reference source: the totesys database of a tote-bag maker, as its Prisma application made it.
-- last_updated has neither a default nor a trigger: that is the source's nature, not an oversight.

CREATE TYPE public."PaymentTypeName" AS ENUM ('SALES_RECEIPT', 'SALES_REFUND', 'PURCHASE_PAYMENT', 'PURCHASE_REFUND');
CREATE TYPE public."TransactionType" AS ENUM ('SALE', 'PURCHASE');

CREATE TABLE public.address (
    address_id     serial       NOT NULL,
    address_line_1 text         NOT NULL,
    address_line_2 text,
    district       text,
    city           text         NOT NULL,
    postal_code    text         NOT NULL,
    country        text         NOT NULL,
    phone          text         NOT NULL,
    created_at     timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated   timestamp(3) NOT NULL,
    CONSTRAINT address_pkey PRIMARY KEY (address_id)
);

CREATE TABLE public.counterparty (
    counterparty_id         serial       NOT NULL,
    counterparty_legal_name text         NOT NULL,
    legal_address_id        integer      NOT NULL,
    commercial_contact      text,
    delivery_contact        text,
    created_at              timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated            timestamp(3) NOT NULL,
    CONSTRAINT counterparty_pkey PRIMARY KEY (counterparty_id),
    CONSTRAINT counterparty_legal_address_id_fkey FOREIGN KEY (legal_address_id)
        REFERENCES public.address (address_id) ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE public.currency (
    currency_id   serial       NOT NULL,
    currency_code varchar(3)   NOT NULL,
    created_at    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated  timestamp(3) NOT NULL,
    CONSTRAINT currency_pkey PRIMARY KEY (currency_id)
);

CREATE TABLE public.department (
    department_id   serial       NOT NULL,
    department_name text         NOT NULL,
    location        text,
    manager         text,
    created_at      timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated    timestamp(3) NOT NULL,
    CONSTRAINT department_pkey PRIMARY KEY (department_id)
);

CREATE TABLE public.staff (
    staff_id      serial       NOT NULL,
    first_name    text         NOT NULL,
    last_name     text         NOT NULL,
    department_id integer      NOT NULL,
    email_address text         NOT NULL,
    created_at    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated  timestamp(3) NOT NULL,
    CONSTRAINT staff_pkey PRIMARY KEY (staff_id),
    CONSTRAINT staff_department_id_fkey FOREIGN KEY (department_id)
        REFERENCES public.department (department_id) ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE public.design (
    design_id     serial       NOT NULL,
    created_at    timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    design_name   text         NOT NULL,
    file_location text         NOT NULL,
    file_name     text         NOT NULL,
    last_updated  timestamp(3) NOT NULL,
    CONSTRAINT design_pkey PRIMARY KEY (design_id)
);

CREATE TABLE public.payment_type (
    payment_type_id   serial                   NOT NULL,
    payment_type_name public."PaymentTypeName" NOT NULL,
    created_at        timestamp(3)             NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated      timestamp(3)             NOT NULL,
    CONSTRAINT payment_type_pkey PRIMARY KEY (payment_type_id)
);

CREATE TABLE public.sales_order (
    sales_order_id              serial         NOT NULL,
    created_at                  timestamp(3)   NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated                timestamp(3)   NOT NULL,
    design_id                   integer        NOT NULL,
    staff_id                    integer        NOT NULL,
    counterparty_id             integer        NOT NULL,
    units_sold                  integer        NOT NULL,
    unit_price                  numeric(10, 2) NOT NULL,
    currency_id                 integer        NOT NULL,
    agreed_delivery_date        text           NOT NULL,
    agreed_payment_date         text           NOT NULL,
    agreed_delivery_location_id integer        NOT NULL,
    CONSTRAINT sales_order_pkey PRIMARY KEY (sales_order_id),
    CONSTRAINT sales_order_design_id_fkey FOREIGN KEY (design_id)
        REFERENCES public.design (design_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT sales_order_staff_id_fkey FOREIGN KEY (staff_id)
        REFERENCES public.staff (staff_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT sales_order_counterparty_id_fkey FOREIGN KEY (counterparty_id)
        REFERENCES public.counterparty (counterparty_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT sales_order_currency_id_fkey FOREIGN KEY (currency_id)
        REFERENCES public.currency (currency_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT sales_order_agreed_delivery_location_id_fkey FOREIGN KEY (agreed_delivery_location_id)
        REFERENCES public.address (address_id) ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE public.purchase_order (
    purchase_order_id           serial         NOT NULL,
    created_at                  timestamp(3)   NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated                timestamp(3)   NOT NULL,
    staff_id                    integer        NOT NULL,
    counterparty_id             integer        NOT NULL,
    item_code                   text           NOT NULL,
    item_quantity               integer        NOT NULL,
    item_unit_price             numeric(10, 2) NOT NULL,
    currency_id                 integer        NOT NULL,
    agreed_delivery_date        text           NOT NULL,
    agreed_payment_date         text           NOT NULL,
    agreed_delivery_location_id integer        NOT NULL,
    CONSTRAINT purchase_order_pkey PRIMARY KEY (purchase_order_id),
    CONSTRAINT purchase_order_staff_id_fkey FOREIGN KEY (staff_id)
        REFERENCES public.staff (staff_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT purchase_order_counterparty_id_fkey FOREIGN KEY (counterparty_id)
        REFERENCES public.counterparty (counterparty_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT purchase_order_currency_id_fkey FOREIGN KEY (currency_id)
        REFERENCES public.currency (currency_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT purchase_order_agreed_delivery_location_id_fkey FOREIGN KEY (agreed_delivery_location_id)
        REFERENCES public.address (address_id) ON UPDATE CASCADE ON DELETE RESTRICT
);

CREATE TABLE public.transaction (
    transaction_id    serial                   NOT NULL,
    transaction_type  public."TransactionType" NOT NULL,
    sales_order_id    integer,
    purchase_order_id integer,
    created_at        timestamp(3)             NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated      timestamp(3)             NOT NULL,
    CONSTRAINT transaction_pkey PRIMARY KEY (transaction_id),
    CONSTRAINT transaction_sales_order_id_key UNIQUE (sales_order_id),
    CONSTRAINT transaction_purchase_order_id_key UNIQUE (purchase_order_id),
    CONSTRAINT transaction_sales_order_id_fkey FOREIGN KEY (sales_order_id)
        REFERENCES public.sales_order (sales_order_id) ON UPDATE CASCADE ON DELETE SET NULL,
    CONSTRAINT transaction_purchase_order_id_fkey FOREIGN KEY (purchase_order_id)
        REFERENCES public.purchase_order (purchase_order_id) ON UPDATE CASCADE ON DELETE SET NULL
);

CREATE TABLE public.payment (
    payment_id             serial         NOT NULL,
    created_at             timestamp(3)   NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_updated           timestamp(3)   NOT NULL,
    transaction_id         integer        NOT NULL,
    counterparty_id        integer        NOT NULL,
    payment_amount         numeric(10, 2) NOT NULL,
    currency_id            integer        NOT NULL,
    payment_type_id        integer        NOT NULL,
    paid                   boolean        NOT NULL,
    payment_date           text           NOT NULL,
    company_ac_number      integer        NOT NULL,
    counterparty_ac_number integer        NOT NULL,
    CONSTRAINT payment_pkey PRIMARY KEY (payment_id),
    CONSTRAINT payment_transaction_id_key UNIQUE (transaction_id),
    CONSTRAINT payment_transaction_id_fkey FOREIGN KEY (transaction_id)
        REFERENCES public.transaction (transaction_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT payment_counterparty_id_fkey FOREIGN KEY (counterparty_id)
        REFERENCES public.counterparty (counterparty_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT payment_currency_id_fkey FOREIGN KEY (currency_id)
        REFERENCES public.currency (currency_id) ON UPDATE CASCADE ON DELETE RESTRICT,
    CONSTRAINT payment_payment_type_id_fkey FOREIGN KEY (payment_type_id)
        REFERENCES public.payment_type (payment_type_id) ON UPDATE CASCADE ON DELETE RESTRICT
);
