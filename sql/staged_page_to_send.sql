-- As staged_page.sql, without ids that were sent before or, unless all are to be sent, that stand in the raw table.
SELECT
    toString(event_id) AS id,
    toUnixTimestamp64Micro(emission_time) AS micros,
    length(event) AS bytes
FROM {staging_database:Identifier}.{staging_table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    AND (emission_time, event_id) > (fromUnixTimestamp64Micro({last_micros:Int64}), {last_id:UUID})
    AND event_id NOT IN (
        SELECT event_id
        FROM {staging_database:Identifier}.{sent_table:Identifier}
        WHERE sent_to = {sent_to:String}
            AND emission_time >= fromUnixTimestamp64Micro({start:Int64})
            AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    )
    AND event_id NOT IN (
        -- One second to each side: Ralph and other writers may have cut the time to milliseconds.
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE NOT {all:Bool}
            AND emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
            AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            AND event_id /*global*/ IN (
                SELECT event_id
                FROM {staging_database:Identifier}.{staging_table:Identifier}
                WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
                    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
                    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            )
    )
ORDER BY emission_time, event_id, file, byte_offset, number
LIMIT 1 BY event_id
LIMIT {most:UInt32}
