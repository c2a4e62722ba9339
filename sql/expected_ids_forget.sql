-- Forgets the ids that earlier loads of a month left in a table: only the last load is asked for its ids.
DELETE FROM {database:Identifier}.expected_ids
WHERE month = {month:String}
    AND run_id != {run_id:String}
    AND run_id IN (SELECT run_id FROM {database:Identifier}.runs WHERE target = {target:String} AND month = {month:String})
