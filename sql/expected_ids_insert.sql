-- Remembers a sample of the ids that a load published, by hash so that every part of the month is in it.
INSERT INTO {database:Identifier}.{table:Identifier} (run_id, month, event_id)
SELECT DISTINCT {run_id:String}, {month:String}, event_id
FROM {staging_database:Identifier}.{staging_table:Identifier}
WHERE sipHash64(event_id) % {modulus:UInt64} = 0
