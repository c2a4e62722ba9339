-- Whether any node wrote down that a query came to its end without an error; not what other nodes did of it.
SELECT count() AS finished
FROM /*of_every_node*/system.query_log
WHERE event_date >= {since:Date} - 1
    AND type = 'QueryFinish'
    AND is_initial_query
    AND log_comment = {comment:String}
SETTINGS skip_unavailable_shards = 1
