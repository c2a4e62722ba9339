-- Of one partition: sorting keys that a view's own SELECT gives, against those that stand in its target; sums of each.
SELECT
    countIf(expected > 0) AS expected_keys,
    countIf(standing > 0) AS standing_keys,
    countIf(expected > 0 AND standing = 0 AND NOT ({zeros_go:Bool} AND expected_sum = 0)) AS missing_keys,
    countIf(expected = 0) AS strange_keys,
    sum(standing) AS standing_rows,
    sumIf(expected_sum - standing_sum, expected > 0 AND standing > 0 AND expected_sum > standing_sum) AS missing_sum,
    sumIf(standing_sum - expected_sum, expected > 0 AND standing > 0 AND standing_sum > expected_sum) AS doubled_sum
FROM (
    SELECT
        row_key,
        sum(given) AS expected,
        sum(1 - given) AS standing,
        sumIf(amount, given = 1) AS expected_sum,
        sumIf(amount, given = 0) AS standing_sum
    FROM (
        SELECT sipHash128(tuple(/*cast:key*/0)) AS row_key, 1 AS given, /*sum:amounts*/0 AS amount
        FROM (
            /*select_of_view*/SELECT generateUUIDv4() AS event_id
        )
        UNION ALL
        SELECT sipHash128(tuple(/*cast:key*/0)) AS row_key, 0 AS given, /*sum:amounts*/0 AS amount
        FROM {database:Identifier}.{table:Identifier}
        WHERE _partition_id = {partition_id:String}
    )
    GROUP BY row_key
)
