-- Most active parts in one partition of any table, by node, as the server itself counts them every now and then.
SELECT hostName() AS node, value AS parts
FROM /*of_every_node*/system.asynchronous_metrics
WHERE metric = 'MaxPartCountForPartition'
