-- Lists those of the given databases that exist.
SELECT name
FROM system.databases
WHERE name IN {databases:Array(String)}
