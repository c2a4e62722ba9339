-- The time zone in which the server partitions by month.
SELECT serverTimeZone() AS zone
