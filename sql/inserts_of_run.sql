-- How many inserts of a run the server still works on.
SELECT count()
FROM /*of_every_node*/system.processes
WHERE query_kind = 'Insert' AND JSONExtractString(Settings['log_comment'], 'run_id') = {run_id:String}
-- A node that is down works on nothing.
SETTINGS skip_unavailable_shards = 1
