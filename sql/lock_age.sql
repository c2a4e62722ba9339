-- Seconds since a lock's table was made, for a lock whose maker has not signed it yet.
SELECT dateDiff('second', metadata_modification_time, now()) AS age_s
FROM system.tables
WHERE database = {database:String} AND name = {table:String}
