-- Rows of a table, duplicates that wait for a merge among them.
SELECT count() AS table_rows FROM {database:Identifier}.{table:Identifier}
