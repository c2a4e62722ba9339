-- Starts TTL merges of a table again; no change where they were not stopped.
SYSTEM START TTL MERGES /*on_cluster*/ {database:Identifier}.{table:Identifier}
