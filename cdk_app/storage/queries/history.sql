-- $name: the keys with the most versions first, and what each version says
SELECT *
FROM (SELECT f.*, count(*) OVER (PARTITION BY $key) AS number_of_versions FROM $database.$fact f)
ORDER BY number_of_versions DESC, $key, version
LIMIT 200
