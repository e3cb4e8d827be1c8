-- $name as it was at a moment: set the moment (UTC) in the first line of the query
WITH moment AS (SELECT TIMESTAMP '2026-01-01 00:00:00 UTC' AS t)
SELECT f.*
FROM $database.$fact f
CROSS JOIN moment
WHERE f.valid_from <= moment.t AND (f.valid_to IS NULL OR f.valid_to > moment.t)
ORDER BY $key
LIMIT 1000
