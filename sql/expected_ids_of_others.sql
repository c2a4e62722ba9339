-- The loads of a month into one table, but for one, whose ids are kept.
SELECT DISTINCT run_id
FROM {database:Identifier}.expected_ids
WHERE month = {month:String}
    AND run_id != {run_id:String}
    AND run_id IN (SELECT run_id FROM {database:Identifier}.runs WHERE target = {target:String} AND month = {month:String})
ORDER BY run_id
