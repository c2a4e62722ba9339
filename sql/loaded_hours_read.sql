-- What the newest load of each hour has found, for a stretch of hours.
SELECT hour, lines, statements
FROM {database:Identifier}.loaded_hours FINAL
WHERE target = {target:String} AND hour >= {first_hour:UInt32} AND hour < {end_hour:UInt32}
