-- Of the ids that are sent beside the query, how many stand in the raw table within a stretch of time.
SELECT uniqExact(event_id) AS ids
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64} - 1000000)
    AND emission_time < fromUnixTimestamp64Micro({end:Int64} + 1000000)
    AND event_id /*global*/ IN (SELECT toUUID(text) FROM listed)
