-- Creates the copies of the LMS's enrolments, as Aspects has them.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    id Int32,
    course_key String,
    created String,
    is_active Bool,
    mode LowCardinality(String),
    username String,
    user_id Int32,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/MergeTree
PRIMARY KEY (course_key, user_id, time_last_dumped)
ORDER BY (course_key, user_id, time_last_dumped)
