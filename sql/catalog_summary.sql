-- The catalog of a store, without what is below another prefix: files, bytes, lines, first and last event.
SELECT
    count() AS files,
    sum(size) AS total_bytes,
    sum(lines) AS total_lines,
    sum(undated) AS total_undated,
    toUnixTimestamp64Micro(min(first_event)) AS first_micros,
    toUnixTimestamp64Micro(max(last_event)) AS last_micros
FROM {database:Identifier}.tracking_log_catalog FINAL
WHERE startsWith(uri, {prefix:String}) AND ({apart:String} = '' OR NOT startsWith(uri, {apart:String}))
