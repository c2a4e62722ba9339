-- How old the newest statement was, in microseconds, at the same time of earlier weeks; reads the end of a day's range of the key for each.
SELECT min({now:Int64} - {week:Int64} - toUnixTimestamp64Micro(emission_time)) AS lag_micros
FROM (
    SELECT emission_time
    FROM {database:Identifier}.{table:Identifier}
    WHERE emission_time > fromUnixTimestamp64Micro({now:Int64} - {week:Int64} - 86400000000)
        AND emission_time <= fromUnixTimestamp64Micro({now:Int64} - {week:Int64})
    ORDER BY emission_time DESC
    LIMIT 1
)
HAVING count() > 0
