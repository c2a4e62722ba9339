-- Rows and compressed bytes of a table's active parts.
SELECT sum(rows) AS table_rows, sum(bytes_on_disk) AS table_bytes
FROM system.parts
WHERE active AND database = {database:String} AND table = {table:String}
