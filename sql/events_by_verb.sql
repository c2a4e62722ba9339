-- Statements of a month by verb.
SELECT
    JSONExtractString(event, 'verb', 'id') AS verb,
    count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
GROUP BY verb
ORDER BY statements DESC, verb
