-- Queries of a run that the servers still work on, but for this one.
SELECT count() AS running
FROM /*of_every_node*/system.processes
WHERE JSONExtractString(Settings['log_comment'], 'run_id') = {run_id:String}
    AND JSONExtractString(Settings['log_comment'], 'product') = 'aspects-orchestration'
    AND JSONExtractString(Settings['log_comment'], 'step') != 'queries_of_run'
-- A node that is down works on nothing.
SETTINGS skip_unavailable_shards = 1
