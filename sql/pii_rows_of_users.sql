-- How many rows of a table belong to some users, by LMS id.
SELECT user_id, count() AS user_rows
FROM {database:Identifier}.{table:Identifier}
WHERE user_id IN {user_ids:Array(Int32)}
GROUP BY user_id
