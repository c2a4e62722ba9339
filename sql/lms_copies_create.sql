-- Creates the record of copies of LMS tables: how far each came, so that a killed one goes on where it stopped.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    dump_id String,
    target String,
    request String,
    state LowCardinality(String),
    time_last_dumped String,
    after String,
    slices UInt64,
    account String,
    started_at DateTime64(6, 'UTC'),
    updated_at DateTime64(6, 'UTC')
)
ENGINE = /*replicated*/ReplacingMergeTree(slices)
ORDER BY (target, dump_id)
