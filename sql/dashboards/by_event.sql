-- Of a stretch of one partition: events that a view's own SELECT gives, against those that stand in its target; rows of each.
SELECT
    countIf(expected > 0) AS expected_events,
    countIf(standing > 0) AS standing_events,
    countIf(expected > 0 AND standing = 0) AS missing_events,
    countIf(expected = 0) AS strange_events,
    sumIf(expected - standing, standing > 0 AND expected > standing) AS missing_rows,
    sumIf(standing - expected, expected > 0 AND standing > expected) AS doubled_rows,
    sum(standing) AS standing_rows,
    countIf(expected > 1) AS repeated_events
FROM (
    SELECT event_id, sum(given) AS expected, sum(1 - given) AS standing
    FROM (
        SELECT event_id, 1 AS given
        FROM (
            /*select_of_view*/SELECT generateUUIDv4() AS event_id, now64(6) AS emission_time
        )
        WHERE emission_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
            AND emission_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
        UNION ALL
        SELECT event_id, 0 AS given
        FROM {database:Identifier}.{table:Identifier}
        WHERE _partition_id = {partition_id:String}
            AND emission_time >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
            AND emission_time < fromUnixTimestamp64Micro({until:Int64}, 'UTC')
    )
    GROUP BY event_id
)
