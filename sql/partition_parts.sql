-- Active parts of a partition, where there are most of them: inserts wait while there are too many.
SELECT max(parts_of_node) AS parts
FROM
(
    SELECT count() AS parts_of_node
    FROM /*of_every_node*/system.parts
    WHERE active
        AND database = {database:String}
        AND table = {table:String}
        AND partition_id = {partition_id:String}
    GROUP BY hostName(), tcpPort()
)
SETTINGS skip_unavailable_shards = 1
