-- Rows that broke the contract and are still open: where, which, why, since which run, and the row itself
SELECT q.table_name, q.key, q.reason, q.seq, r.cut_time AS since, q."row"
FROM $database.quarantine q
LEFT JOIN $database.etl_runs r ON r.seq = q.seq
WHERE q.resolved_seq IS NULL
ORDER BY q.table_name, q.key, q.seq
