-- Empties a table of the project's own.
TRUNCATE TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
