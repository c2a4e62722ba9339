-- Columns of tables and views, in their order.
SELECT database, table, name, type
FROM system.columns
WHERE database IN {databases:Array(String)} AND table IN {tables:Array(String)}
ORDER BY database, table, position
