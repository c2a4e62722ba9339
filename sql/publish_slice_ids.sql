-- A slice's staged rows, its ids, how many of these stand in the table already, and all ids' hashes combined.
SELECT
    sum(of_id) AS staged_rows,
    count() AS ids,
    countIf(event_id IN (
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
            AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
            -- Only what is staged: a small load spread over a large month must not gather the month's ids.
            AND event_id /*global*/ IN (
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
    SELECT event_id, count() AS of_id
    FROM {staging_database:Identifier}.{staging_table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    GROUP BY event_id
)
