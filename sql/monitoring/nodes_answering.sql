-- The nodes that answer, each with the address under which the cluster's configuration knows it, if it knows itself there.
SELECT
    concat(hostName(), ':', toString(tcpPort())) AS node,
    groupUniqArrayIf(concat(host_name, ':', toString(port)), is_local AND cluster = {cluster_name:String}) AS addresses
FROM /*of_every_node*/system.clusters
GROUP BY node
