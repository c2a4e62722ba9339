-- Tables of loads that stand in the project's own database, with bytes and seconds since anything happened to them.
SELECT
    name,
    total_rows,
    total_bytes,
    dateDiff('second', greatest(metadata_modification_time, last_part), now()) AS quiet_s
FROM system.tables
LEFT JOIN (
    SELECT table, max(modification_time) AS last_part
    FROM system.parts
    WHERE database = {database:String}
    GROUP BY table
) AS parts ON parts.table = name
WHERE database = {database:String} AND match(name, {pattern:String})
ORDER BY name
