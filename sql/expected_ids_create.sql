-- Creates the table of event ids that a load expects to find in the raw table afterwards.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    run_id String,
    month String,
    event_id UUID
)
ENGINE = /*replicated*/MergeTree
ORDER BY (month, run_id, event_id)
