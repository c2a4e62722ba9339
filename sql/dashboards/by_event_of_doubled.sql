-- The same where the view's source holds events twice: each is expected as often as one copy of it gives rows.
SELECT
    countIf(due > 0) AS expected_events,
    countIf(standing > 0) AS standing_events,
    countIf(due > 0 AND standing = 0) AS missing_events,
    countIf(due = 0) AS strange_events,
    sumIf(due - standing, standing > 0 AND due > standing) AS missing_rows,
    sumIf(standing - due, due > 0 AND standing > due) AS doubled_rows,
    sum(standing) AS standing_rows,
    countIf(copies > 1) AS repeated_events
FROM (
    SELECT event_id, sum(copy) AS copies, intDiv(sum(given), greatest(copies, 1)) AS due, sum(stands) AS standing
    FROM (
        SELECT event_id, 1 AS given, 0 AS stands, 0 AS copy
        FROM (
            /*select_of_view*/SELECT generateUUIDv4() AS event_id, now64(6) AS emission_time
        )
        WHERE emission_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
            AND emission_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
        UNION ALL
        SELECT event_id, 0 AS given, 1 AS stands, 0 AS copy
        FROM {database:Identifier}.{table:Identifier}
        WHERE _partition_id = {partition_id:String}
            AND emission_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
            AND emission_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
        UNION ALL
        SELECT event_id, 0 AS given, 0 AS stands, 1 AS copy
        FROM {source_database:Identifier}.{source_table:Identifier}
        WHERE _partition_id = {partition_id:String}
            AND emission_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
            AND emission_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
    )
    GROUP BY event_id
    HAVING sum(given) > 0 OR standing > 0
)
