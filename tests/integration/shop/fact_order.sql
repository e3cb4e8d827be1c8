SELECT
    order_id,
    created_at AS created_date,
    created_at AS created_time,
    customer_id,
    amount,
    due AS due_date,
    note,
    last_updated AS _updated_at
FROM orders
