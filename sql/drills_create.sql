-- Creates the record of restore drills: a row for each day that a drill has replayed, or could not replay.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    run_id String,
    turn String,
    day Date,
    outcome LowCardinality(String),
    months Array(String),
    objects UInt64,
    stored_bytes UInt64,
    raw_bytes UInt64,
    lines UInt64,
    restored UInt64,
    missing UInt64,
    different UInt64,
    expired UInt64,
    quarantined UInt64,
    newly_quarantined UInt64,
    ids Array(String),
    summary String,
    rto_day_s Float64,
    rto_all_s Float64,
    rpo_s Nullable(Float64),
    started_at DateTime64(3),
    finished_at DateTime64(3)
)
ENGINE = /*replicated*/ReplacingMergeTree(finished_at)
ORDER BY (run_id, day)
