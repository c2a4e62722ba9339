-- Creates the staging table of one run; its deduplication window lets a batch be sent again under the same token.
CREATE TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    event_id UUID,
    emission_time DateTime64(6),
    event String,
    file LowCardinality(String),
    byte_offset UInt64,
    number UInt16,
    body UInt64 MATERIALIZED cityHash64(event)
)
ENGINE = /*replicated*/MergeTree
ORDER BY (emission_time, event_id, file, byte_offset, number)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    min_parts_to_merge_at_once = 100
