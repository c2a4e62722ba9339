-- Says, by the server's own clock, that the holder of a lock is alive.
INSERT INTO {database:Identifier}.{table:Identifier} (run_id, host, pid, heartbeat)
SELECT {run_id:String}, {host:String}, {pid:UInt32}, now64(3)
