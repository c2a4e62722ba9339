-- The next staged statements of a slice behind a time and id, each id once: ids, times (microseconds) and lengths, in order.
SELECT
    toString(event_id) AS id,
    toUnixTimestamp64Micro(emission_time) AS micros,
    length(event) AS bytes
FROM {staging_database:Identifier}.{staging_table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
    AND (emission_time, event_id) > (fromUnixTimestamp64Micro({last_micros:Int64}), {last_id:UUID})
ORDER BY emission_time, event_id, file, byte_offset, number
LIMIT 1 BY event_id
LIMIT {most:UInt32}
