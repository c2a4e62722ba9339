-- Creates the copies of the LMS's taxonomies, as Aspects has them.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    id Int32,
    name String,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/ReplacingMergeTree
PRIMARY KEY (id, time_last_dumped)
ORDER BY (id, time_last_dumped)
