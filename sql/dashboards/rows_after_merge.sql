-- Rows of a partition that will be left when its parts are merged.
SELECT count() AS rows_left
FROM {database:Identifier}.{table:Identifier} FINAL
WHERE _partition_id = {partition_id:String}
    AND emission_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND emission_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
