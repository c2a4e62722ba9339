-- The last rows that were seen in each held partition.
SELECT target, partition_id, rows
FROM {database:Identifier}.retention_log FINAL
WHERE event = 'held'
ORDER BY target, partition_id
