-- Lists the tables of the given databases with their engines and keys.
SELECT
    database,
    name,
    engine,
    partition_key,
    sorting_key,
    primary_key
FROM system.tables
WHERE database IN {databases:Array(String)}
    AND NOT is_temporary
