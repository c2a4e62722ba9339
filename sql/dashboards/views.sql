-- Materialized views by the table that they follow, with what they select; a table may be followed by several.
SELECT
    sources.source_database,
    sources.source_table,
    views.database,
    views.name,
    views.create_table_query,
    views.as_select,
    toString(views.uuid) AS view_uuid
FROM system.tables AS views
INNER JOIN (
    SELECT
        database AS source_database,
        name AS source_table,
        arrayJoin(arrayZip(dependencies_database, dependencies_table)) AS follower
    FROM system.tables
) AS sources ON sources.follower.1 = views.database AND sources.follower.2 = views.name
WHERE views.engine = 'MaterializedView'
ORDER BY sources.source_database, sources.source_table, views.database, views.name
