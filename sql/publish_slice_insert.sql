-- Publishes a slice: inserts the statements whose ids are not in the table yet, the first of each id by file and offset.
INSERT INTO {database:Identifier}.{table:Identifier} (event_id, emission_time, event)
WITH
    slice AS (
        SELECT event_id, file, byte_offset, number
        FROM {staging_database:Identifier}.{staging_table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
            AND emission_time < fromUnixTimestamp64Micro({end:Int64})
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    ),
    -- Ids that stand in several places. Sorting the statements themselves to find each one's first costs more than all else.
    several AS (
        SELECT event_id, min((file, byte_offset, number)) AS first
        FROM slice
        GROUP BY event_id
        HAVING count() > 1
    )
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
            AND event_id /*global*/ IN (SELECT event_id FROM slice)
    )
    AND (
        event_id NOT IN (SELECT event_id FROM several)
        OR (event_id, (file, byte_offset, number)) IN (SELECT event_id, first FROM several)
    )
    -- A run that slept while another took its lock over must not wake up in here.
    AND (
        SELECT argMax(run_id, heartbeat) FROM {lock_database:Identifier}.{lock_table:Identifier}
    ) = {run_id:String}
    -- Nor on a node that has not caught up with the others, when the one that has went down.
    AND ({node:String} = '' OR {node:String} = concat(hostName(), ':', toString(tcpPort())))
-- What was sent twice after a kill stands in one place twice.
LIMIT 1 BY event_id
