-- How many rows of a table carry the username that a retired user had before, by LMS id.
SELECT user_id, count() AS named_rows
FROM {database:Identifier}.{table:Identifier}
WHERE user_id IN {user_ids:Array(Int32)} AND username != '' AND NOT startsWith(username, {retired_prefix:String})
GROUP BY user_id
