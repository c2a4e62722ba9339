-- Rows of a partition, merged or not.
SELECT sum(rows) AS partition_rows
FROM /*of_each_shard*/system.parts
WHERE active
    AND database = {database:String}
    AND table = {table:String}
    AND partition_id = {partition_id:String}
