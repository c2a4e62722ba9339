-- Staged statements of a stretch of time whose ids are sent beside the query, the first of each id by file and offset.
SELECT toString(event_id) AS id, toUnixTimestamp64Micro(emission_time) AS micros, event
FROM {staging_database:Identifier}.{staging_table:Identifier}
PREWHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND event_id IN (SELECT toUUID(text) FROM listed)
ORDER BY emission_time, event_id, file, byte_offset, number
LIMIT 1 BY event_id
