-- Renames a table within its database; of several that try, one succeeds.
RENAME TABLE {database:Identifier}.{table:Identifier} TO {database:Identifier}.{new_table:Identifier} /*on_cluster*/
