-- Forgets the ids that some loads of a month left, on a cluster: mutations of replicated tables hold no question.
DELETE FROM {database:Identifier}.expected_ids
WHERE month = {month:String} AND run_id IN {run_ids:Array(String)}
