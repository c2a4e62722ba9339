-- The engine of a table, alone and with all that is said of it.
SELECT engine, engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}
