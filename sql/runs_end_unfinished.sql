-- Says of loads of a month that were cut off that a later load has looked after them.
INSERT INTO {database:Identifier}.runs
SELECT * REPLACE ('ended' AS state, greatest(now64(3), updated_at + toIntervalMillisecond(1)) AS updated_at)
FROM {database:Identifier}.runs FINAL
WHERE target = {target:String} AND month = {month:String} AND state = 'publishing' AND run_id != {run_id:String}
