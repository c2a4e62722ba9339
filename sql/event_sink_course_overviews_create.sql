-- Creates the copies of the LMS's courses, as Aspects has them.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    org String,
    course_key String,
    display_name String,
    course_start String,
    course_end String,
    enrollment_start String,
    enrollment_end String,
    self_paced Bool,
    course_data_json String,
    created String,
    modified String,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/MergeTree
PRIMARY KEY (org, course_key, modified, time_last_dumped)
ORDER BY (org, course_key, modified, time_last_dumped)
