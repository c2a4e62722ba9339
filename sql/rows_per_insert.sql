-- Parts that inserts made of a table in the last day, and the median of their rows.
SELECT count() AS parts, quantileExact(0.5)(rows) AS median_rows
FROM system.part_log
WHERE event_type = 'NewPart'
    AND event_date >= today() - 1
    AND event_time > now() - INTERVAL 1 DAY
    AND database = {database:String}
    AND table = {table:String}
