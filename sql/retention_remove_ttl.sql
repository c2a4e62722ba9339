-- Lets a table keep its rows for ever.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
REMOVE TTL
SETTINGS materialize_ttl_after_modify = 0
