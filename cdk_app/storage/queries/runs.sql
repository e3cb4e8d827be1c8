-- The last 100 runs: when the source was cut, when it reached the lake, what changed, what is held back
SELECT seq, run_id, cut_time, applied_at, date_diff('second', cut_time, applied_at) AS seconds, changes, held_back,
       open_quarantine
FROM $database.etl_runs
ORDER BY seq DESC
LIMIT 100
