-- Merges the parts of one partition, so that repeated rows go.
OPTIMIZE TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/ PARTITION ID {partition_id:String} FINAL
