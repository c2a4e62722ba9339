-- The nodes that a cluster should have.
SELECT DISTINCT host_name, port
FROM system.clusters
WHERE cluster = {cluster_name:String}
