-- Queries with which other runs, dead ones included, still publish the same month.
SELECT count() AS running
FROM /*of_every_node*/system.processes
WHERE JSONExtractString(Settings['log_comment'], 'product') = 'aspects-orchestration'
    AND startsWith(JSONExtractString(Settings['log_comment'], 'step'), {steps:String})
    AND JSONExtractString(Settings['log_comment'], 'run_id') != {run_id:String}
-- A node that is down works on nothing.
SETTINGS skip_unavailable_shards = 1
