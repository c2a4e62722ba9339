-- Statements of a month that are no JSON, lack actor, verb or object, or disagree with their row; all, or one in `modulus`.
SELECT
    count() AS looked_at,
    countIf(NOT isValidJSON(event)) AS not_json,
    countIf(isValidJSON(event) AND JSONType(event, 'actor') != 'Object') AS no_actor,
    countIf(isValidJSON(event) AND empty(JSONExtractString(event, 'verb', 'id'))) AS no_verb,
    countIf(isValidJSON(event) AND empty(JSONExtractString(event, 'object', 'id'))) AS no_object,
    countIf(isValidJSON(event) AND toUUIDOrZero(JSONExtractString(event, 'id')) != event_id) AS other_id,
    countIf(
        isValidJSON(event)
        AND abs(
            toUnixTimestamp64Milli(parseDateTime64BestEffortOrZero(JSONExtractString(event, 'timestamp'), 6, 'UTC'))
            - toUnixTimestamp64Milli(emission_time)
        ) > 1
    ) AS other_time
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND sipHash64(event_id) % {modulus:UInt32} = 0
