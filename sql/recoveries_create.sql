-- Creates the record of months that rebuild_all has restored: from what, how much, how fast.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    target String,
    month String,
    source LowCardinality(String),
    content String,
    run_id String,
    month_rows UInt64,
    stored_bytes UInt64,
    seconds Float64,
    finished_at DateTime64(3, 'UTC')
)
ENGINE = /*replicated*/ReplacingMergeTree(finished_at)
ORDER BY (target, month, source)
