-- What a user who only watches needs: a part of sql/grants.sql, without any statement's text and without a right to write.
--
--     clickhouse client --user admin --password --multiquery < deploy/policies/clickhouse/monitoring.sql
--
-- `xapi`, `xapi_events_all`: ASPECTS_XAPI_DATABASE, ASPECTS_RAW_XAPI_TABLE. With CLICKHOUSE_CLUSTER_NAME it needs what
-- sql/grants.sql has for monitoring of clusters too.

-- How late statements are, and how many come: their times, not what they say.
GRANT SELECT(emission_time) ON `xapi`.`xapi_events_all` TO `aspects_monitoring`;

-- Parts, replication and system logs are counted over all tables.
GRANT SHOW TABLES ON *.* TO `aspects_monitoring`;
GRANT SELECT ON system.parts TO `aspects_monitoring`;
GRANT SELECT(num_tries, num_postponed) ON system.replication_queue TO `aspects_monitoring`;

-- Counters, and the sizes of new parts.
GRANT SELECT(metric, value) ON system.metrics TO `aspects_monitoring`;
GRANT SELECT(metric, value) ON system.asynchronous_metrics TO `aspects_monitoring`;
GRANT SELECT(event, value) ON system.events TO `aspects_monitoring`;
GRANT SELECT ON system.disks TO `aspects_monitoring`;
GRANT SELECT(event_type, event_date, event_time, database, table, rows) ON system.part_log TO `aspects_monitoring`;

-- The slowest queries, whose texts are shown without the values in them.
GRANT SELECT(event_date, event_time, type, is_initial_query, query, query_duration_ms, read_rows) ON system.query_log TO `aspects_monitoring`;
