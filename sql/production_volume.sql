-- Statements of the last seven days, of which the day's average is taken.
SELECT count() AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= now() - INTERVAL 7 DAY
    AND emission_time < now()
