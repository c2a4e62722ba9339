-- Creates the record of retention: plans that were begun, what each has done, and rows seen in held partitions.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    event LowCardinality(String),
    plan_id String,
    step String,
    target String,
    partition_id String,
    rows UInt64,
    bytes UInt64,
    run_id String,
    described String,
    at DateTime64(3)
)
ENGINE = /*replicated*/ReplacingMergeTree(at)
ORDER BY (event, plan_id, step, target, partition_id)
