-- Queries of a run that the server still works on.
SELECT count() AS running
FROM system.processes
WHERE JSONExtractString(Settings['log_comment'], 'run_id') = {run_id:String}
    AND JSONExtractString(Settings['log_comment'], 'product') = 'aspects-orchestration'
