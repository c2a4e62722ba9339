-- Rows in a month's partition that are not of that month in UTC.
SELECT count() AS strangers
FROM {database:Identifier}.{table:Identifier}
WHERE _partition_id = {partition_id:String}
    AND (
        emission_time < fromUnixTimestamp64Micro({start:Int64})
        OR emission_time >= fromUnixTimestamp64Micro({end:Int64})
    )
