-- Computes anew when a partition's parts go; reads the time column and rewrites no rows.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
MATERIALIZE TTL IN PARTITION ID {partition_id:String}
