-- Mutations of a table that are not done yet: what they do, how many parts are left, and why the last try failed.
SELECT mutation_id, command, parts_to_do, latest_fail_reason
FROM system.mutations
WHERE database = {database:String} AND table = {table:String} AND NOT is_done
ORDER BY create_time, mutation_id
