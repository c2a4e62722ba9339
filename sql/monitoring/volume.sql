-- Statements of the last hour and of the same hour one to four weeks before, by weeks ago; reads those five ranges of the key.
SELECT
    intDiv({now:Int64} - toUnixTimestamp64Micro(emission_time), 604800000000) AS weeks_ago,
    count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE (emission_time > fromUnixTimestamp64Micro({now:Int64} - 3600000000)
        AND emission_time <= fromUnixTimestamp64Micro({now:Int64}))
    OR (emission_time > fromUnixTimestamp64Micro({now:Int64} - 608400000000)
        AND emission_time <= fromUnixTimestamp64Micro({now:Int64} - 604800000000))
    OR (emission_time > fromUnixTimestamp64Micro({now:Int64} - 1213200000000)
        AND emission_time <= fromUnixTimestamp64Micro({now:Int64} - 1209600000000))
    OR (emission_time > fromUnixTimestamp64Micro({now:Int64} - 1818000000000)
        AND emission_time <= fromUnixTimestamp64Micro({now:Int64} - 1814400000000))
    OR (emission_time > fromUnixTimestamp64Micro({now:Int64} - 2422800000000)
        AND emission_time <= fromUnixTimestamp64Micro({now:Int64} - 2419200000000))
GROUP BY weeks_ago
