-- How many rows of a table carry a username.
SELECT count() AS named_rows
FROM {database:Identifier}.{table:Identifier}
WHERE username != ''
