-- How old the lake is: minutes since the cut that it shows (an idle source makes no cut; see the dashboard for those)
SELECT max(batch) AS batch, max(cut_time) AS cut_time, date_diff('minute', max(cut_time), now()) AS minutes_old
FROM $database.etl_batches
