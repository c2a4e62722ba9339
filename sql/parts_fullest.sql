-- The fullest partition of all tables but the server's own logs, on any node: most active parts, and where.
SELECT count() AS parts, concat(database, '.', table, ' partition ', partition_id) AS place
FROM /*of_every_node*/system.parts
WHERE active AND database != 'system'
GROUP BY hostName(), tcpPort(), database, table, partition_id
ORDER BY parts DESC, place
LIMIT 1
SETTINGS skip_unavailable_shards = 1
