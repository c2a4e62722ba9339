-- The partition of any table with most active parts, by node.
SELECT
    node,
    max(parts) AS most,
    argMax(concat(database, '.', table, ' partition ', partition_id), parts) AS of_partition
FROM (
    SELECT hostName() AS node, database, table, partition_id, count() AS parts
    FROM /*of_every_node*/system.parts
    WHERE active
    GROUP BY node, database, table, partition_id
)
GROUP BY node
