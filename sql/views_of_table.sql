-- Materialized views that read what is inserted into a table.
SELECT views.database, views.name, views.create_table_query, toString(views.uuid) AS view_uuid
FROM system.tables AS views
WHERE views.engine = 'MaterializedView'
    AND (views.database, views.name) IN (
        SELECT arrayJoin(arrayZip(dependencies_database, dependencies_table))
        FROM system.tables
        WHERE database = {database:String} AND name = {table:String}
    )
ORDER BY views.database, views.name
