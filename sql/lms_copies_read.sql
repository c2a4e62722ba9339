-- The newest word of each copy of one LMS table, the copy that was started last first.
SELECT
    dump_id,
    argMax(request, slices) AS last_request,
    argMax(state, slices) AS last_state,
    argMax(time_last_dumped, slices) AS last_time,
    argMax(after, slices) AS last_after,
    max(slices) AS last_slices,
    argMax(account, slices) AS last_account,
    toUnixTimestamp64Micro(min(started_at)) AS first_started_at,
    toUnixTimestamp64Micro(max(updated_at)) AS last_updated_at
FROM {database:Identifier}.lms_copies
WHERE target = {target:String}
GROUP BY dump_id
ORDER BY first_started_at DESC
LIMIT {most:UInt64}
