-- Rows and different event ids of a month, for one remainder of the id's hash so that any month fits in memory.
SELECT
    sum(rows_of_id) AS month_rows,
    count() AS ids,
    groupBitXor(cityHash64(event_id)) AS ids_hash
FROM
(
    SELECT event_id, count() AS rows_of_id
    FROM {database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    GROUP BY event_id
)
