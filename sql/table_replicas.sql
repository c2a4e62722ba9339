-- How many replicas a table has, by what it is replicated through.
SELECT total_replicas FROM system.replicas WHERE database = {database:String} AND table = {table:String}
