-- Statements of a stretch of time by hour (hours since 1970-01-01 UTC); reads the times of the partitions that it touches.
SELECT
    intDiv(toUnixTimestamp64Micro(emission_time), 3600000000) AS hour,
    count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
GROUP BY hour
