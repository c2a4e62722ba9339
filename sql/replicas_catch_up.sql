-- Waits until every node has every row that any replica of its shard has taken in; not for merges and mutations.
SYSTEM SYNC REPLICA /*on_cluster*/ {database:Identifier}.{table:Identifier} LIGHTWEIGHT
