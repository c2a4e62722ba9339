-- Staged ids of a slice that stand in the raw table now: how many, and their combined hash.
SELECT uniqExact(event_id) AS ids, groupBitXorDistinct(cityHash64(event_id)) AS ids_hash, count() AS present_rows
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
    AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    AND event_id /*global*/ IN (
        SELECT event_id
        FROM {staging_database:Identifier}.{staging_table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
            AND emission_time < fromUnixTimestamp64Micro({end:Int64})
            AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    )
