-- Tables whose TTL merges a load stopped and nobody has started again, and for what.
SELECT target, argMax(described, at) AS reason
FROM {database:Identifier}.retention_log
WHERE event IN ('stopped', 'started')
GROUP BY target
HAVING argMax(event, at) = 'stopped'
ORDER BY target
