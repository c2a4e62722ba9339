-- The server's version, and its time in microseconds since 1970.
SELECT version() AS server_version, toUnixTimestamp64Micro(now64(6)) AS server_micros
