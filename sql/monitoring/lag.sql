-- The newest statement of a stretch of time in microseconds since 1970, and whether there is any; reads that range of the key.
SELECT toUnixTimestamp64Micro(max(emission_time)) AS newest_micros, count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time > fromUnixTimestamp64Micro({since:Int64})
    AND emission_time <= fromUnixTimestamp64Micro({until:Int64})
