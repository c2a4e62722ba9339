-- The days that the last drill has replayed, the worst outcome first.
SELECT turn, toString(day) AS drilled_day, outcome, summary, rto_all_s, rpo_s, toUnixTimestamp64Milli(finished_at) * 1000 AS finished_micros
FROM {database:Identifier}.drills FINAL
WHERE run_id = (SELECT argMax(run_id, finished_at) FROM {database:Identifier}.drills)
ORDER BY outcome = 'passed', day
