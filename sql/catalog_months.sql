-- Transformable lines and files by month (UTC), as the catalog has them, of the files below some prefixes and not below another.
SELECT
    formatDateTime(toDateTime(hour * 3600, 'UTC'), '%Y-%m') AS month,
    sum(hour_line) AS month_lines,
    uniqExact(uri) AS files
FROM {database:Identifier}.tracking_log_catalog FINAL
ARRAY JOIN hours AS hour, hour_lines AS hour_line
WHERE arrayExists(prefix -> startsWith(uri, prefix), {prefixes:Array(String)})
    AND ({apart:String} = '' OR NOT startsWith(uri, {apart:String}))
GROUP BY month
ORDER BY month
