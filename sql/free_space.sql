-- Bytes still free where a table's parts lie (any disk of a server that has none of them yet), on the node with the least.
SELECT min(unreserved_space) AS free_bytes
FROM /*of_every_node*/system.disks
WHERE name IN (
    SELECT disk_name FROM system.parts WHERE active AND database = {database:String} AND table = {table:String}
)
    OR (
        name = 'default'
        AND NOT EXISTS (
            SELECT 1 FROM system.parts WHERE active AND database = {database:String} AND table = {table:String}
        )
    )
SETTINGS skip_unavailable_shards = 1
