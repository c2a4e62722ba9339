-- Waits until this node has every row that any replica has taken in; not for merges and mutations.
SYSTEM SYNC REPLICA {database:Identifier}.{table:Identifier} LIGHTWEIGHT
