-- Drops one of the project's own tables at once.
DROP TABLE IF EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/ SYNC
