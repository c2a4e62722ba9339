-- The newest transformable line that the catalog knows of, no newer than a moment (both in microseconds since 1970), or 0.
SELECT ifNull(max(toUnixTimestamp64Micro(last_event)), 0) AS newest_micros
FROM {database:Identifier}.tracking_log_catalog FINAL
WHERE toUnixTimestamp64Micro(last_event) <= {until:Int64}
