-- Takes out of a staging or progress table what came from files that have changed or gone since.
DELETE FROM {database:Identifier}.{table:Identifier} WHERE file IN {files:Array(String)}
