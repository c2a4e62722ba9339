-- Grants the pipeline's user what it needs and nothing else; run it as an administrator, after CREATE USER.
--
--     clickhouse client --user admin --password --multiquery < sql/grants.sql
--
-- Names in backticks are the defaults: change them here if your site has others.
--     `aspects_pipeline`         the user
--     `xapi`, `xapi_events_all`  ASPECTS_XAPI_DATABASE, ASPECTS_RAW_XAPI_TABLE
--     `event_sink`               ASPECTS_EVENT_SINK_DATABASE
--     `aspects_orchestration`    ASPECTS_ORCHESTRATION_DATABASE
--     `reporting`                the database of the Aspects dbt project
--     `aspects_drill_aspects_orchestration`  aspects_drill_ and ASPECTS_ORCHESTRATION_DATABASE
-- On a cluster whose users are not replicated, write GRANT ON CLUSTER '<name>' instead of GRANT.
-- The upstream schema itself is created by an administrator; this user cannot create or change it.
-- Stopping its own queries needs no grant.

-- The raw statements: those whose ids are not there yet are inserted.
GRANT INSERT ON `xapi`.`xapi_events_all` TO `aspects_pipeline`;

-- To find the ids that are there. And materialized views that hang behind other views (those of the Aspects dbt project
-- do) read their source with the rights of whoever inserts, unless they were created with SQL SECURITY DEFINER.
GRANT SELECT ON `xapi`.* TO `aspects_pipeline`;
GRANT SELECT ON `reporting`.* TO `aspects_pipeline`;

-- Copies of LMS tables: rows that are not there yet are inserted, and those there are read to find that out. Identities
-- and courses (ASPECTS_IDENTITIES, ASPECTS_COURSES) and e-mail addresses (XAPI_AGENT_IFI_TYPE) may be read from them too.
GRANT SELECT ON `event_sink`.* TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.course_overviews TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.course_blocks TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.course_enrollment TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.tag TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.taxonomy TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.object_tag TO `aspects_pipeline`;

-- Only with ASPECTS_ENABLE_PII: personal data go into these two. Without it, leave this out, and instead of all of
-- event_sink above grant SELECT on user_profile only for (id, user_id, username, email, dump_id, time_last_dumped).
GRANT INSERT ON `event_sink`.external_id TO `aspects_pipeline`;
GRANT INSERT ON `event_sink`.user_profile TO `aspects_pipeline`;

-- The project's own database: staging tables, locks, the catalog and the record of runs.
GRANT CREATE DATABASE, CREATE TABLE, DROP TABLE, ALTER TABLE, SELECT, INSERT, TRUNCATE, OPTIMIZE ON `aspects_orchestration`.* TO `aspects_pipeline`;

-- Asked for where the server is set to table_engines_require_grant.
GRANT TABLE ENGINE ON MergeTree TO `aspects_pipeline`;
GRANT TABLE ENGINE ON ReplacingMergeTree TO `aspects_pipeline`;

-- For the dry run of a copy of an LMS table, which inserts into a table that keeps nothing.
GRANT TABLE ENGINE ON Null TO `aspects_pipeline`;

-- Definitions, not data: to compare the schema with upstream's, and to find the tables that are chained behind the raw one.
GRANT SHOW DATABASES, SHOW TABLES, SHOW COLUMNS ON *.* TO `aspects_pipeline`;

-- Parts, merges and mutations, and their limits: inserts wait while the table has too many parts.
GRANT SELECT ON system.parts TO `aspects_pipeline`;
GRANT SELECT ON system.merges TO `aspects_pipeline`;
GRANT SELECT ON system.mutations TO `aspects_pipeline`;
GRANT SELECT ON system.merge_tree_settings TO `aspects_pipeline`;

-- Free space: it is looked at before each slice is inserted.
GRANT SELECT ON system.disks TO `aspects_pipeline`;

-- Its own running queries, to stop those of a run that was killed.
GRANT SELECT ON system.processes TO `aspects_pipeline`;

-- Whether an insert that was cut off came to its end, for the materialized views behind it; no query texts.
GRANT SELECT(event_date, type, log_comment) ON system.query_log TO `aspects_pipeline`;

-- Optional, for mode rebuild alone: DROP PARTITION of a month in the raw table and in the tables chained behind it.
GRANT ALTER DELETE ON `xapi`.* TO `aspects_pipeline`;
GRANT ALTER DELETE ON `reporting`.* TO `aspects_pipeline`;

-- Optional, for personal data alone: taking it out after ASPECTS_ENABLE_PII was switched off, deleting retired users, and
-- letting Aspects' dictionaries forget them at once (without it, when their lifetime is over).
GRANT TRUNCATE, ALTER DELETE ON `event_sink`.external_id TO `aspects_pipeline`;
GRANT TRUNCATE, ALTER DELETE ON `event_sink`.user_profile TO `aspects_pipeline`;
GRANT ALTER UPDATE(username) ON `event_sink`.course_enrollment TO `aspects_pipeline`;
GRANT SYSTEM RELOAD DICTIONARY ON *.* TO `aspects_pipeline`;

-- Optional, for retention alone (job apply_retention): TTLs, the settings that go with them, and their marks. Expired
-- partitions are dropped with the rights of mode rebuild. Other databases that retention.yaml names need the same.
GRANT ALTER TTL, ALTER SETTINGS, ALTER MATERIALIZE TTL ON `xapi`.* TO `aspects_pipeline`;
GRANT ALTER TTL, ALTER SETTINGS, ALTER MATERIALIZE TTL ON `reporting`.* TO `aspects_pipeline`;

-- Optional, for restore drills alone (job restore_drill): a scratch database of this very name, created and dropped by each.
GRANT CREATE DATABASE, DROP DATABASE, CREATE TABLE, DROP TABLE, ALTER TABLE, SELECT, INSERT, TRUNCATE, OPTIMIZE ON `aspects_drill_aspects_orchestration`.* TO `aspects_pipeline`;

-- Optional, for loads of expired months (allow_expired): TTL merges are stopped first, and started again by apply_retention.
GRANT SYSTEM TTL MERGES ON `xapi`.* TO `aspects_pipeline`;
GRANT SYSTEM TTL MERGES ON `reporting`.* TO `aspects_pipeline`;

-- Optional, for monitoring alone (sensor clickhouse_health, checks of pipeline_health): counters and the sizes of new parts.
-- What is left out makes its own signals unknown, and no other. Free disk space and parts are read with the rights above.
GRANT SELECT(metric, value) ON system.metrics TO `aspects_pipeline`;
GRANT SELECT(metric, value) ON system.asynchronous_metrics TO `aspects_pipeline`;
GRANT SELECT(event, value) ON system.events TO `aspects_pipeline`;
GRANT SELECT(num_tries, num_postponed) ON system.replication_queue TO `aspects_pipeline`;
GRANT SELECT(event_type, event_date, event_time, database, table, rows) ON system.part_log TO `aspects_pipeline`;

-- Optional, for the slowest queries alone: their texts are shown without the values in them.
GRANT SELECT(event_date, event_time, type, is_initial_query, query, query_duration_ms, read_rows) ON system.query_log TO `aspects_pipeline`;

-- Optional, for what dashboards read alone (group dashboards): whether dictionaries are loaded and how old they are, and
-- views that are refreshed by the clock. Tables behind the raw one are read with the rights above.
GRANT SHOW DICTIONARIES ON `xapi`.* TO `aspects_pipeline`;
GRANT SHOW DICTIONARIES ON `reporting`.* TO `aspects_pipeline`;
GRANT SHOW DICTIONARIES ON `event_sink`.* TO `aspects_pipeline`;
GRANT SELECT(database, name, status, type, element_count, last_successful_update_time, lifetime_max, error_count, last_exception) ON system.dictionaries TO `aspects_pipeline`;
GRANT SELECT(database, view, status, last_success_time, next_refresh_time, exception) ON system.view_refreshes TO `aspects_pipeline`;

-- Only with CLICKHOUSE_CLUSTER_NAME: ON CLUSTER statements in the project's own database, and how the cluster is laid out.
GRANT CLUSTER ON *.* TO `aspects_pipeline`;
GRANT TABLE ENGINE ON ReplicatedMergeTree TO `aspects_pipeline`;
GRANT TABLE ENGINE ON ReplicatedReplacingMergeTree TO `aspects_pipeline`;
GRANT SELECT ON system.clusters TO `aspects_pipeline`;
GRANT SELECT ON system.replicas TO `aspects_pipeline`;

-- Only with CLICKHOUSE_CLUSTER_NAME: what other replicas have taken in is waited for before ids are compared or months dropped.
GRANT SYSTEM SYNC REPLICA ON `xapi`.* TO `aspects_pipeline`;
GRANT SYSTEM SYNC REPLICA ON `reporting`.* TO `aspects_pipeline`;
GRANT SYSTEM SYNC REPLICA ON `event_sink`.* TO `aspects_pipeline`;
GRANT SYSTEM SYNC REPLICA ON `aspects_orchestration`.* TO `aspects_pipeline`;
GRANT SYSTEM SYNC REPLICA ON `aspects_drill_aspects_orchestration`.* TO `aspects_pipeline`;

-- Only with CLICKHOUSE_CLUSTER_NAME: what a run that was killed still does on another node, and parts, disks and mutations of
-- all nodes (clusterAllReplicas, cluster). Servers that do not know READ ON REMOTE yet have REMOTE ON *.* instead. Of other
-- nodes no single columns can be granted.
GRANT READ ON REMOTE TO `aspects_pipeline`;
GRANT SELECT ON system.query_log TO `aspects_pipeline`;

-- Only with CLICKHOUSE_CLUSTER_NAME, for monitoring and what dashboards read alone: counters, dictionaries and refreshes of
-- every node.
GRANT SELECT ON system.metrics TO `aspects_pipeline`;
GRANT SELECT ON system.asynchronous_metrics TO `aspects_pipeline`;
GRANT SELECT ON system.events TO `aspects_pipeline`;
GRANT SELECT ON system.replication_queue TO `aspects_pipeline`;
GRANT SELECT ON system.part_log TO `aspects_pipeline`;
GRANT SELECT ON system.dictionaries TO `aspects_pipeline`;
GRANT SELECT ON system.view_refreshes TO `aspects_pipeline`;
