-- Parts that inserts made of a table, and the median of their rows: in the last hour, and in the last day.
SELECT
    countIf(event_time > {now:DateTime} - INTERVAL 1 HOUR) AS parts_of_hour,
    quantileExactIf(0.5)(rows, event_time > {now:DateTime} - INTERVAL 1 HOUR) AS median_of_hour,
    count() AS parts_of_day,
    quantileExact(0.5)(rows) AS median_of_day
FROM /*of_every_node*/system.part_log
WHERE event_type = 'NewPart'
    AND event_date >= toDate({now:DateTime} - INTERVAL 1 DAY)
    AND event_time > {now:DateTime} - INTERVAL 1 DAY
    AND database = {database:String}
    AND table = {table:String}
