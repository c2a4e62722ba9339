-- Lists those of the given SQL functions that exist.
SELECT name
FROM system.functions
WHERE name IN {functions:Array(String)}
