-- The different keys of a copied LMS table whose positions are from one number up to another.
SELECT toString({key:Identifier}) AS found, toInt64(max({position:Identifier})) AS place
FROM {database:Identifier}.{table:Identifier}
WHERE {position:Identifier} >= {first:Int64} AND {position:Identifier} < {end:Int64}
GROUP BY found
ORDER BY place, found
