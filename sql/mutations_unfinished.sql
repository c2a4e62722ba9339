-- Mutations of a table that are not done yet on some node: what they do, how many parts are left, and why the last try failed.
SELECT mutation_id, command, sum(parts_to_do) AS parts_left, max(latest_fail_reason) AS fail_reason
FROM /*of_every_node*/system.mutations
WHERE database = {database:String} AND table = {table:String} AND NOT is_done
GROUP BY mutation_id, command
ORDER BY min(create_time), mutation_id
