-- Creates the table of raw xAPI statements, as Aspects has it.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    event_id UUID,
    emission_time DateTime64(6),
    event String
)
ENGINE = /*replicated*/ReplacingMergeTree
PARTITION BY toYYYYMM(emission_time)
PRIMARY KEY (emission_time, event_id)
ORDER BY (emission_time, event_id)
