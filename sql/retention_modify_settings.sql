-- Lets TTL merges drop whole parts only, and lets TTL marks be computed anew without a rewrite.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1
