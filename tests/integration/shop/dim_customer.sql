SELECT c.customer_id, c.name, l.label AS country, c.code
FROM customer c
LEFT JOIN country l ON l.country_id = c.country_id
