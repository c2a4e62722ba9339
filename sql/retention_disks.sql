-- Bytes of all local disks, and those that are free.
SELECT sum(total_space) AS total_bytes, sum(free_space) AS free_bytes FROM /*of_each_shard*/system.disks
