-- The newest months of the raw table: rows and bytes that stand, and the newest load of each that came to its end.
SELECT standing.month AS month, standing.rows AS rows, standing.bytes AS bytes, loads.loaded_micros AS loaded_micros
FROM
(
    SELECT concat(substring(partition_id, 1, 4), '-', substring(partition_id, 5, 2)) AS month, sum(rows) AS rows, sum(bytes_on_disk) AS bytes
    FROM /*of_each_shard*/system.parts
    WHERE active AND database = {database:String} AND table = {table:String} AND match(partition_id, '^[0-9]{6}$')
    GROUP BY month
) AS standing
LEFT JOIN
(
    SELECT month, toUnixTimestamp64Milli(max(updated_at)) * 1000 AS loaded_micros
    FROM {orchestration:Identifier}.runs FINAL
    WHERE target = {target:String} AND state = 'published'
    GROUP BY month
) AS loads USING (month)
ORDER BY month DESC
LIMIT {limit:UInt32}
