-- Rows of tables, merged or not, by what ClickHouse knows of its parts.
SELECT database, table, sum(rows) AS table_rows
FROM system.parts
WHERE active AND database IN {databases:Array(String)} AND table IN {tables:Array(String)}
GROUP BY database, table
