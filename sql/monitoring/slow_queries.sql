-- The slowest queries that have finished since a time, each kind once, with their text but without any value in it.
SELECT
    query_duration_ms,
    substringUTF8(normalizeQuery(query), 1, 300) AS text,
    read_rows
FROM /*of_every_node*/system.query_log
WHERE type = 'QueryFinish'
    AND event_date >= toDate({since:DateTime})
    AND event_time >= {since:DateTime}
    AND is_initial_query
ORDER BY query_duration_ms DESC
LIMIT 1 BY normalizedQueryHash(query)
LIMIT 10
