-- Creates the record of hours that loads have read: lines in the logs, and statements that stood in the table afterwards.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    target String,
    hour UInt32,
    lines UInt64,
    statements UInt64,
    run_id String,
    loaded_at DateTime64(3)
)
ENGINE = /*replicated*/ReplacingMergeTree(loaded_at)
ORDER BY (target, hour)
