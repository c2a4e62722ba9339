-- Of the ids that the last load left in the table and whose sample is kept: how many, and how many are still there.
SELECT
    count() AS remembered,
    countIf(event_id IN (
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
            AND emission_time < fromUnixTimestamp64Micro({end:Int64})
            AND sipHash64(event_id) % {modulus:UInt64} = 0
    )) AS present
FROM
(
    SELECT DISTINCT event_id
    FROM {orchestration:Identifier}.expected_ids
    WHERE month = {month:String} AND run_id = {run_id:String}
)
