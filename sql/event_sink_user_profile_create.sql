-- Creates the copies of the LMS's user profiles, as Aspects has them (personal data).
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    id Int32,
    user_id Int32,
    name String,
    username String DEFAULT '',
    email String DEFAULT '',
    meta String,
    courseware String,
    language String,
    location String,
    year_of_birth String,
    gender String,
    level_of_education String,
    mailing_address String,
    city String,
    country String,
    state String,
    goals String,
    bio String,
    profile_image_uploaded_at String,
    phone_number String,
    dump_id UUID,
    time_last_dumped String
)
ENGINE = /*replicated*/ReplacingMergeTree
PARTITION BY user_id % 100
PRIMARY KEY (id, time_last_dumped)
ORDER BY (id, time_last_dumped)
