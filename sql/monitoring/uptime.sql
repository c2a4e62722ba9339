-- When each node's server was started (seconds since 1970), and how long ago in seconds.
SELECT hostName() AS node, toInt64(toUnixTimestamp(now())) - toInt64(uptime()) AS started_at, uptime() AS uptime_s
FROM /*of_every_node*/system.one
