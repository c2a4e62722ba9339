-- Staged rows by minute (minutes since 1970-01-01 UTC), from which slices of bounded size are cut.
SELECT
    intDiv(toUnixTimestamp64Micro(emission_time), 60000000) AS minute,
    count() AS staged_rows
FROM {staging_database:Identifier}.{staging_table:Identifier}
GROUP BY minute
ORDER BY minute
