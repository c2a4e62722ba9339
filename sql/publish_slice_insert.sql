-- Publishes a slice: inserts the statements whose ids are not in the table yet, the first of each id by file and offset.
INSERT INTO {database:Identifier}.{table:Identifier} (event_id, emission_time, event)
SELECT event_id, emission_time, event
FROM {staging_database:Identifier}.{staging_table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    AND event_id NOT IN (
        -- One second to each side: other writers may have cut the time to milliseconds.
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
            AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            AND event_id IN (
                SELECT event_id
                FROM {staging_database:Identifier}.{staging_table:Identifier}
                WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
                    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
                    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            )
    )
    -- A run that slept while another took its lock over must not wake up in here.
    AND (
        SELECT argMax(run_id, heartbeat) FROM {lock_database:Identifier}.{lock_table:Identifier}
    ) = {run_id:String}
ORDER BY emission_time, event_id, file, byte_offset, number
LIMIT 1 BY event_id
