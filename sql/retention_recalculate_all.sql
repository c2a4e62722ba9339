-- Computes anew when a table's parts go; reads the time column and rewrites no rows.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
MATERIALIZE TTL
