-- $name as the source has it now: one row per key
SELECT *
FROM $database.$fact
WHERE is_current
ORDER BY $key
LIMIT 1000
