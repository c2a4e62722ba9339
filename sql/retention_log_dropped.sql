-- How often retention has dropped a partition of a table.
SELECT count() AS drops
FROM {database:Identifier}.retention_log
WHERE event = 'done' AND target = {target:String} AND partition_id = {partition_id:String}
