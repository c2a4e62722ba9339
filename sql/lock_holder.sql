-- Who holds a lock, and seconds since its last sign of life.
SELECT
    argMax(run_id, heartbeat) AS holder,
    argMax(host, heartbeat) AS holder_host,
    argMax(pid, heartbeat) AS holder_pid,
    dateDiff('second', max(heartbeat), now64(3)) AS silent_s,
    count() AS heartbeats
FROM {database:Identifier}.{table:Identifier}
