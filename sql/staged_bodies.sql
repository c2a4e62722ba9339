-- The staged statements of a slice, each id once: how many, and a hash of all their ids and bodies.
SELECT count() AS ids, groupBitXor(cityHash64(event_id, first_body)) AS bodies_hash
FROM
(
    SELECT event_id, argMin(body, (file, byte_offset, number)) AS first_body
    FROM {staging_database:Identifier}.{staging_table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    GROUP BY event_id
)
