-- Transformable lines and files by month (UTC), as the catalog has them.
SELECT
    formatDateTime(toDateTime(hour * 3600, 'UTC'), '%Y-%m') AS month,
    sum(hour_line) AS month_lines,
    uniqExact(uri) AS files
FROM {database:Identifier}.tracking_log_catalog FINAL
ARRAY JOIN hours AS hour, hour_lines AS hour_line
GROUP BY month
ORDER BY month
