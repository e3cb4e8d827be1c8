-- The last 100 batches: when the source was cut, when it reached the lake, what changed, what only quarantine holds
SELECT batch, execution, cut_time, applied_at, date_diff('second', cut_time, applied_at) AS seconds, changes, quarantined_rows,
       open_quarantine
FROM $database.etl_batches
ORDER BY batch DESC
LIMIT 100
