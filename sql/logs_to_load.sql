-- Of the listed files (URI, a line feed, etag): months (UTC) with hours that no load has read since the catalog got to know them, after some moment; '' for those that it does not know.
SELECT
    if(known.file = '', '', formatDateTime(toDateTime(known.hour * 3600, 'UTC'), '%Y-%m')) AS month,
    uniqExact(listed.text) AS files,
    sum(known.hour_line) AS month_lines,
    toUnixTimestamp64Micro(max(known.updated)) AS newest_micros
FROM listed
LEFT JOIN
(
    SELECT
        -- A live file whose last line was half-written is known but for that line.
        concat(uri, '\n', replaceRegexpOne(etag, ' half-written$', '')) AS file,
        updated_at AS updated,
        hour,
        hour_line
    FROM {database:Identifier}.tracking_log_catalog FINAL
    LEFT ARRAY JOIN hours AS hour, hour_lines AS hour_line
    WHERE reader = {reader:String} AND uri IN (SELECT substring(text, 1, position(text, '\n') - 1) FROM listed)
) AS known ON known.file = listed.text
LEFT JOIN
(
    SELECT hour, greatest(started, toDateTime64(0, 3)) AS began
    FROM (SELECT hour, run_id FROM {database:Identifier}.loaded_hours FINAL WHERE target = {target:String}) AS read_by
    INNER JOIN
    (
        SELECT run_id, max(started_at) AS started
        FROM {database:Identifier}.runs
        GROUP BY run_id
    ) AS run ON run.run_id = read_by.run_id
) AS loaded ON loaded.hour = known.hour
WHERE known.file = '' OR (known.hour_line > 0 AND known.updated > loaded.began AND known.updated > fromUnixTimestamp64Micro({since:Int64}))
GROUP BY month
