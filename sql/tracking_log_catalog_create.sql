-- Creates the catalog of tracking logs: what each file holds, by hour since 1970 in UTC, for one version of the reader.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    uri String,
    etag String,
    size UInt64,
    reader LowCardinality(String),
    lines UInt64,
    undated UInt64,
    first_event Nullable(DateTime64(6)),
    last_event Nullable(DateTime64(6)),
    hours Array(UInt32),
    hour_lines Array(UInt32),
    updated_at DateTime64(3)
)
ENGINE = /*replicated*/ReplacingMergeTree(updated_at)
ORDER BY uri
