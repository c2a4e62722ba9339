-- The nodes of a cluster: their shard, where they are, whether it is this server, and whether their shard replicates by itself.
SELECT shard_num, host_name, port, is_local, internal_replication
FROM system.clusters
WHERE cluster = {cluster_name:String}
ORDER BY shard_num, replica_num
