-- Keeps rows for whole months; parts that stand are left as they are.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
MODIFY TTL toDateTime({column:Identifier}) + toIntervalMonth(/*numbers:months*/0)
SETTINGS materialize_ttl_after_modify = 0
