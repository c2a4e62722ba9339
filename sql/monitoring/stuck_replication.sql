-- Replication tasks that were tried or postponed more than 100 times, by node; nodes without such tasks are not listed.
SELECT hostName() AS node, count() AS tasks
FROM /*of_every_node*/system.replication_queue
WHERE num_tries > 100 OR num_postponed > 100
GROUP BY node
