-- Ids of restored statements of a slice that do not stand in the table, but for those that are older than it keeps.
SELECT toString(event_id) AS id
FROM {scratch_database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND emission_time >= fromUnixTimestamp64Micro({kept_from:Int64})
    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    AND event_id NOT IN (
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
            AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            AND event_id /*global*/ IN (
                SELECT event_id
                FROM {scratch_database:Identifier}.{table:Identifier}
                WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
                    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
                    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            )
    )
ORDER BY id
LIMIT {limit:UInt32}
