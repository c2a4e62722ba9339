-- Creates a lock: who first gives the table the lock's name holds it, and its rows say who and since when.
CREATE TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    run_id String,
    host String,
    pid UInt32,
    heartbeat DateTime64(3)
)
ENGINE = /*replicated*/ReplacingMergeTree(heartbeat)
ORDER BY run_id
