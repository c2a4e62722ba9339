-- The newest load of a month that ran to its end.
SELECT
    run_id,
    mode,
    toUnixTimestamp64Micro(since) AS since_micros,
    toUnixTimestamp64Micro(until) AS until_micros,
    toUnixTimestamp64Milli(started_at) * 1000 AS started_micros,
    toUnixTimestamp64Milli(updated_at) * 1000 AS updated_micros,
    account,
    expected_ids,
    expected_hash,
    sample_modulus
FROM {database:Identifier}.runs FINAL
WHERE target = {target:String} AND month = {month:String} AND state = 'published'
ORDER BY updated_at DESC
LIMIT 1
