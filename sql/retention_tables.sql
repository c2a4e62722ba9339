-- Tables whose rows retention looks at: MergeTrees with their keys, TTLs and settings; a view's own storage goes by its name.
SELECT
    tables.database,
    tables.name,
    multiIf(
        startsWith(tables.name, '.inner.'), substring(tables.name, 8),
        views.view != '', views.view,
        tables.name
    ) AS known_as,
    partition_key,
    engine_full
FROM system.tables AS tables
LEFT JOIN (
    SELECT database, name AS view, concat('.inner_id.', toString(uuid)) AS storage
    FROM system.tables
    WHERE engine = 'MaterializedView'
) AS views ON views.database = tables.database AND views.storage = tables.name
WHERE endsWith(engine, 'MergeTree')
    AND NOT is_temporary
    AND lower(tables.database) != 'information_schema'
    AND (tables.database != 'system' OR match(tables.name, '_log(_[0-9]+)?$'))
ORDER BY tables.database, tables.name
