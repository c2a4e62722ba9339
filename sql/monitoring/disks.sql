-- Free and total bytes of each disk of each node; those without a size, such as object storage, are left out.
SELECT hostName() AS node, name AS disk, free_space, total_space
FROM /*of_every_node*/system.disks
WHERE total_space > 0 AND total_space < 9223372036854775807
