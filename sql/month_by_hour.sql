-- Statements of a month by day and hour (UTC).
SELECT
    toDayOfMonth(emission_time, 'UTC') AS day,
    toHour(emission_time, 'UTC') AS hour,
    count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
GROUP BY day, hour
ORDER BY day, hour
