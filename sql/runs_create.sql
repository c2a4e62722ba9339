-- Creates the record of loads: one row a run, the newest one counts.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    run_id String,
    target String,
    month String,
    mode LowCardinality(String),
    state LowCardinality(String),
    since DateTime64(6),
    until DateTime64(6),
    started_at DateTime64(3),
    updated_at DateTime64(3),
    account String,
    expected_ids UInt64,
    expected_hash UInt64,
    sample_modulus UInt64
)
ENGINE = /*replicated*/ReplacingMergeTree(updated_at)
ORDER BY run_id
