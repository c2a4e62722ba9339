-- What publishing a slice would do: its statements, ids, duplicates, collisions, and how many ids stand in the table already.
SELECT
    sum(of_id) AS statements,
    count() AS ids,
    sum(of_first_body - 1) AS duplicates,
    sum(of_id - of_first_body) AS collisions,
    countIf(event_id IN (
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
            AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            -- Only what is staged: a small load spread over a large month must not gather the month's ids.
            AND event_id IN (
                SELECT event_id
                FROM {staging_database:Identifier}.{staging_table:Identifier}
                WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
                    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
                    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            )
    )) AS already_there,
    groupBitXor(cityHash64(event_id)) AS ids_hash
FROM
(
    SELECT
        event_id,
        count() AS of_id,
        argMin(body, (file, byte_offset, number)) AS first_body,
        arrayCount(one -> one = first_body, groupArray(body)) AS of_first_body
    FROM
    (
        -- A batch that was sent again after a kill may stand twice; its place in the log tells.
        SELECT DISTINCT event_id, file, byte_offset, number, body
        FROM {staging_database:Identifier}.{staging_table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
            AND emission_time < fromUnixTimestamp64Micro({end:Int64})
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    )
    GROUP BY event_id
)
