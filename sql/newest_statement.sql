-- The time of the newest statement in microseconds since 1970, and whether there is any; read from the parts' bounds.
SELECT toUnixTimestamp64Micro(max(emission_time)) AS newest_micros, count() AS statements
FROM {database:Identifier}.{table:Identifier}
