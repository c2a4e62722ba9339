-- Partitions of a database's tables: rows, bytes, times, and when ClickHouse itself has marked them to go.
SELECT
    table,
    partition_id,
    sum(rows) AS partition_rows,
    sum(bytes_on_disk) AS partition_bytes,
    count() AS parts,
    toUnixTimestamp(min(greatest(min_time, toDateTime(min_date)))) AS first_s,
    toUnixTimestamp(max(greatest(max_time, toDateTime(max_date)))) AS last_s,
    countIf(toUnixTimestamp(delete_ttl_info_max) = 0) AS unmarked_parts,
    minIf(toUnixTimestamp(delete_ttl_info_max), toUnixTimestamp(delete_ttl_info_max) > 0) AS first_mark_s,
    max(max_block_number) AS last_block
FROM /*of_each_shard*/system.parts
WHERE active AND rows > 0 AND database = {database:String} AND table IN {tables:Array(String)}
GROUP BY table, partition_id
ORDER BY table, partition_id
