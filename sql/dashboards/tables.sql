-- Tables of some databases: engine, keys, and the whole clause of the engine with its TTL.
SELECT database, name, engine, partition_key, sorting_key, engine_full
FROM system.tables
WHERE database IN {databases:Array(String)} AND name IN {tables:Array(String)}
