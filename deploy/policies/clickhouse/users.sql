-- The users of ClickHouse, for an administrator to run before the grants. Take the hash of a long random password each:
--
--     printf %s "$PASSWORD" | sha256sum
--
-- so that the server is told no password. Let them in from where the project runs alone: write HOST IP '10.0.0.0/24' for
-- HOST ANY. On a cluster whose users are not replicated, add ON CLUSTER '<name>' behind each name.

-- The pipeline: CLICKHOUSE_ADMIN_USER of the code location, its runs and workers. Its grants: sql/grants.sql.
CREATE USER IF NOT EXISTS `aspects_pipeline` IDENTIFIED WITH sha256_hash BY '<hash>' HOST ANY;

-- Who only watches: CLICKHOUSE_ADMIN_USER of `python -m aspects_orchestration.metrics`, or of another tool. Its grants:
-- monitoring.sql beside this file. It can change no data, whatever it is granted by mistake.
CREATE USER IF NOT EXISTS `aspects_monitoring` IDENTIFIED WITH sha256_hash BY '<hash>' HOST ANY SETTINGS readonly = 2;
