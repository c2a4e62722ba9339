-- What ClickHouse counts of this moment, by node.
SELECT
    hostName() AS node,
    sumIf(value, metric = 'Query') AS queries,
    sumIf(value, metric = 'DelayedInserts') AS delayed_inserts,
    sumIf(value, metric = 'DistributedFilesToInsert') AS distributed_files
FROM /*of_every_node*/system.metrics
WHERE metric IN ('Query', 'DelayedInserts', 'DistributedFilesToInsert')
GROUP BY node
