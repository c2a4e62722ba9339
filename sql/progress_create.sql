-- Creates the progress of one load: a row for each chunk that is staged, so that a killed load goes on behind it.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    file String,
    etag String,
    byte_offset UInt64,
    account String
)
ENGINE = /*replicated*/MergeTree
ORDER BY (file, etag, byte_offset)
