-- Queries with which other runs, dead ones included, still publish the same month.
SELECT count() AS running
FROM system.processes
WHERE JSONExtractString(Settings['log_comment'], 'product') = 'aspects-orchestration'
    AND startsWith(JSONExtractString(Settings['log_comment'], 'step'), {steps:String})
    AND JSONExtractString(Settings['log_comment'], 'run_id') != {run_id:String}
