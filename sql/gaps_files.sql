-- Of the listed files (URI, a line feed, etag): what the catalog knows of each version that touches a stretch of hours, and which it does not know.
SELECT
    listed.text AS file,
    known.file = '' AS is_unknown,
    known.all_lines,
    known.undated_lines,
    ifNull(known.first_micros, 0) AS first,
    ifNull(known.last_micros, 0) AS last,
    known.hour_numbers,
    known.lines_of_hours
FROM listed
LEFT JOIN
(
    SELECT
        -- A live file whose last line was half-written is known but for that line.
        concat(uri, '\n', replaceRegexpOne(etag, ' half-written$', '')) AS file,
        lines AS all_lines,
        undated AS undated_lines,
        toUnixTimestamp64Micro(first_event) AS first_micros,
        toUnixTimestamp64Micro(last_event) AS last_micros,
        arrayFilter(hour -> hour >= {first_hour:UInt32} AND hour < {end_hour:UInt32}, hours) AS hour_numbers,
        arrayFilter(
            (hour_line, hour) -> hour >= {first_hour:UInt32} AND hour < {end_hour:UInt32}, hour_lines, hours
        ) AS lines_of_hours
    FROM {database:Identifier}.tracking_log_catalog FINAL
    WHERE reader = {reader:String}
) AS known ON known.file = listed.text
WHERE is_unknown OR notEmpty(known.hour_numbers)
ORDER BY listed.text
