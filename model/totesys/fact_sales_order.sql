SELECT
    sales_order_id,
    created_at AS created_date,
    created_at AS created_time,
    last_updated AS last_updated_date,
    last_updated AS last_updated_time,
    staff_id AS sales_staff_id,
    counterparty_id,
    units_sold,
    unit_price,
    currency_id,
    design_id,
    agreed_payment_date,
    agreed_delivery_date,
    agreed_delivery_location_id,
    last_updated AS _updated_at
FROM sales_order
