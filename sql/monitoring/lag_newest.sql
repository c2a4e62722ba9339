-- The newest statement of the newest partition in microseconds since 1970, and whether there is any; read from its parts' bounds.
SELECT toUnixTimestamp64Micro(max(emission_time)) AS newest_micros, count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE _partition_id /*global*/ IN (
    SELECT max(partition_id)
    FROM /*of_each_shard*/system.parts
    WHERE active AND rows > 0 AND database = {stored_database:String} AND table = {stored_table:String}
)
