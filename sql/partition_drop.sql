-- Drops a month of a table, whole parts at a time.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/ DROP PARTITION ID {partition_id:String}
