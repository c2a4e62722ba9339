-- Whether the server has a system table that this user can see.
SELECT 1 AS is_there
FROM system.tables
WHERE database = 'system' AND name = {table:String}
