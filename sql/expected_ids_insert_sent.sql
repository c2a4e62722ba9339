-- As expected_ids_insert.sql, without the ids that Ralph has refused.
INSERT INTO {database:Identifier}.{table:Identifier} (run_id, month, event_id)
SELECT DISTINCT {run_id:String}, {month:String}, event_id
FROM {staging_database:Identifier}.{staging_table:Identifier}
WHERE sipHash64(event_id) % {modulus:UInt64} = 0
    AND event_id NOT IN (
        SELECT event_id
        FROM {staging_database:Identifier}.{sent_table:Identifier}
        WHERE sent_to = {sent_to:String} AND outcome NOT IN ('taken', 'there')
    )
