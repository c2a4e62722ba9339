-- What ClickHouse has counted since its start, by node; what never happened is not listed and counts as 0.
SELECT
    hostName() AS node,
    sumIf(value, event = 'RejectedInserts') AS rejected_inserts,
    sumIf(value, event = 'ReplicatedDataLoss') AS data_loss,
    sumIf(value, event = 'DataAfterMergeDiffersFromReplica') AS merges_differ,
    sumIf(value, event = 'DataAfterMutationDiffersFromReplica') AS mutations_differ
FROM /*of_every_node*/system.events
GROUP BY node
