-- Creates the copies of the blocks of the LMS's courses, as Aspects has them.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    org String,
    course_key String,
    location String,
    display_name String,
    xblock_data_json String,
    `order` Int32 DEFAULT 0,
    edited_on String,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/MergeTree
PRIMARY KEY (org, course_key, location, edited_on)
ORDER BY (org, course_key, location, edited_on, `order`)
