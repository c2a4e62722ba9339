-- Restored statements of a slice: how many, how many of them do not stand, stand no more by age, or stand with another body.
SELECT
    count() AS restored,
    countIf(empty(bodies) AND time >= fromUnixTimestamp64Micro({kept_from:Int64})) AS missing,
    countIf(empty(bodies) AND time < fromUnixTimestamp64Micro({kept_from:Int64})) AS expired,
    countIf(notEmpty(bodies) AND NOT has(bodies, body)) AS other_body
FROM
(
    SELECT event_id, emission_time AS time, cityHash64(event) AS body
    FROM {scratch_database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
) AS restored
LEFT JOIN
(
    SELECT event_id, groupUniqArray(cityHash64(event)) AS bodies
    FROM {database:Identifier}.{table:Identifier}
    -- One second to each side: other writers may have cut the time to milliseconds.
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
