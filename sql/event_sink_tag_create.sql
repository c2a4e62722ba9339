-- Creates the copies of the LMS's tags, as Aspects has them.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    id Int32,
    taxonomy Int32,
    parent Int32,
    value String,
    external_id String,
    lineage String,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/ReplacingMergeTree
PRIMARY KEY (id, time_last_dumped)
ORDER BY (id, time_last_dumped)
