-- Tables whose rows retention looks at: MergeTrees with their keys, TTLs and settings.
SELECT
    database,
    name,
    engine,
    partition_key,
    engine_full
FROM system.tables
WHERE endsWith(engine, 'MergeTree')
    AND NOT is_temporary
    AND lower(database) != 'information_schema'
    AND (database != 'system' OR match(name, '_log(_[0-9]+)?$'))
ORDER BY database, name
