-- What a table is partitioned by, and its engine.
SELECT partition_key, engine FROM system.tables WHERE database = {database:String} AND name = {table:String}
