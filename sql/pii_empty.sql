-- Empties a table that holds personal data.
TRUNCATE TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/ SYNC
