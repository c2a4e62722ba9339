-- Stops TTL merges of a table until they are started again or the server restarts.
SYSTEM STOP TTL MERGES /*on_cluster*/ {database:Identifier}.{table:Identifier}
