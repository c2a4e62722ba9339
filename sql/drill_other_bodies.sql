-- Restored statements of a slice that stand with another body: both, and whether a further event of the day has what stands.
SELECT
    toString(event_id) AS id,
    restored.event AS restored_event,
    standing.events AS standing_events,
    hasAny(standing.bodies, staged.bodies) AS of_another_event
FROM
(
    SELECT event_id, event, cityHash64(event) AS body
    FROM {scratch_database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
) AS restored
INNER JOIN
(
    SELECT event_id, groupUniqArray(event) AS events, groupUniqArray(cityHash64(event)) AS bodies
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
    GROUP BY event_id
) AS standing USING (event_id)
INNER JOIN
(
    -- Two events with one id: the load lets the first one stand, and which that is follows from the files' names.
    SELECT event_id, groupUniqArray(body) AS bodies
    FROM {scratch_database:Identifier}.{staging_table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    GROUP BY event_id
) AS staged USING (event_id)
WHERE NOT has(standing.bodies, restored.body)
ORDER BY id
