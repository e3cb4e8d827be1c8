-- $name: the keys with the most versions, newest first, and what each version says
WITH busiest AS (
    SELECT $key
    FROM $database.$fact
    GROUP BY $key
    ORDER BY count(*) DESC, max(valid_from) DESC
    LIMIT 20
)
SELECT f.*
FROM $database.$fact f
JOIN busiest b ON b.$key = f.$key
ORDER BY f.$key, f.version
