-- Creates the progress of one load through Ralph: a row for each statement whose fate is known, so that a killed load goes on.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    sent_to String,
    emission_time DateTime64(6),
    event_id UUID,
    outcome LowCardinality(String),
    detail LowCardinality(String)
)
ENGINE = /*replicated*/MergeTree
ORDER BY (sent_to, emission_time, event_id)
