-- The nodes that a cluster should have.
SELECT DISTINCT host_name
FROM system.clusters
WHERE cluster = {cluster:String}
