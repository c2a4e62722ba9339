-- Active parts of a partition: inserts wait while there are too many.
SELECT count() AS parts
FROM system.parts
WHERE active
    AND database = {database:String}
    AND table = {table:String}
    AND partition_id = {partition_id:String}
