-- Bytes still free where a table's parts lie (any disk of the server if it has none yet).
SELECT min(unreserved_space) AS free_bytes
FROM system.disks
WHERE name IN (
    SELECT disk_name FROM system.parts WHERE active AND database = {database:String} AND table = {table:String}
)
    OR (
        name = 'default'
        AND NOT EXISTS (
            SELECT 1 FROM system.parts WHERE active AND database = {database:String} AND table = {table:String}
        )
    )
