-- Creates the copies of the LMS's external ids of users, as Aspects has them (personal data).
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    external_user_id UUID,
    external_id_type String,
    username String,
    user_id Int32,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/ReplacingMergeTree
PARTITION BY user_id % 100
PRIMARY KEY (external_user_id, time_last_dumped)
ORDER BY (external_user_id, time_last_dumped)
