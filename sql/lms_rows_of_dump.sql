-- How many rows one dump has put into a copied LMS table.
SELECT count()
FROM {database:Identifier}.{table:Identifier}
WHERE dump_id = toUUID({dump_id:String}) AND time_last_dumped = {time_last_dumped:String}
