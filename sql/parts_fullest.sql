-- The fullest partition of all tables but the server's own logs: most active parts, and where; of each node alone on a cluster.
SELECT count() AS parts, concat(database, '.', table, ' partition ', partition_id) AS place
FROM system.parts
WHERE active AND database != 'system'
GROUP BY database, table, partition_id
ORDER BY parts DESC, place
LIMIT 1
