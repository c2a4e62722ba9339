-- How many inserts of a run the server still works on.
SELECT count()
FROM system.processes
WHERE query_kind = 'Insert' AND JSONExtractString(Settings['log_comment'], 'run_id') = {run_id:String}
