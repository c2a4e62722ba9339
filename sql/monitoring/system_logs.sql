-- Bytes of ClickHouse's own logs and of all tables that are not ClickHouse's own, by node.
SELECT
    hostName() AS node,
    sumIf(bytes_on_disk, database = 'system' AND match(table, '_log(_[0-9]+)?$')) AS log_bytes,
    sumIf(bytes_on_disk, database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA')) AS data_bytes
FROM /*of_every_node*/system.parts
WHERE active
GROUP BY node
