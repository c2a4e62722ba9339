-- Fails if this user may not read a table; reads nothing.
SELECT * FROM {database:Identifier}.{table:Identifier} LIMIT 0
