-- Ids that stand in a slice's log lines more than once: statements, and further ones with the same body or with another.
SELECT
    sum(of_id) AS statements,
    sum(of_first_body - 1) AS duplicates,
    sum(of_id - of_first_body) AS collisions
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
