-- Whether the server wrote down that a query came to its end without an error.
SELECT count() AS finished
FROM system.query_log
WHERE event_date >= {since:Date} - 1
    AND type = 'QueryFinish'
    AND log_comment = {comment:String}
