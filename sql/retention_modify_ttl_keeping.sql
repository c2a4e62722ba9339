-- Keeps rows for whole months, and the named months until this is altered again (2106 is where DateTime ends).
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
MODIFY TTL if(
    toYYYYMM({column:Identifier}) IN (/*numbers:kept*/0),
    toDateTime('2106-01-01 00:00:00'),
    toDateTime({column:Identifier}) + toIntervalMonth(/*numbers:months*/0)
)
SETTINGS materialize_ttl_after_modify = 0
