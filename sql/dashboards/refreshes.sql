-- Views that ClickHouse refreshes by the clock, in some databases: how the last refresh went.
SELECT
    database,
    view,
    toString(status) AS refresh_status,
    toUnixTimestamp(ifNull(last_success_time, toDateTime(0))) AS success_s,
    toUnixTimestamp(ifNull(next_refresh_time, toDateTime(0))) AS next_s,
    toInt32OrZero(extract(exception, '^Code: ([0-9]+)')) AS exception_code,
    errorCodeToName(exception_code) AS exception_name,
    toUnixTimestamp(now()) AS now_s,
    concat(hostName(), ':', toString(tcpPort())) AS node
FROM /*of_every_node*/system.view_refreshes
WHERE database IN {databases:Array(String)}
ORDER BY database, view, node
SETTINGS skip_unavailable_shards = 1
