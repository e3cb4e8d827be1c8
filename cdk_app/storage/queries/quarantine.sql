-- Rows that broke the contract and are still open: where, which, why, since which batch, the row itself, and how many
-- such rows there are, where their key is NULL
SELECT q.table_name, q.key, q.reason, q.batch, r.cut_time AS since, q."row", q.keyless_rows
FROM $database.quarantine q
LEFT JOIN $database.etl_batches r ON r.batch = q.batch
WHERE q.resolved_batch IS NULL
ORDER BY q.table_name, q.key, q.batch
