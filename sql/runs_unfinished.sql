-- Loads of a month that began to publish and did not say that they came to the end.
SELECT run_id, toUnixTimestamp64Milli(updated_at) * 1000 AS updated_micros, account
FROM {database:Identifier}.runs FINAL
WHERE target = {target:String} AND month = {month:String} AND state = 'publishing' AND run_id != {run_id:String}
ORDER BY updated_at
