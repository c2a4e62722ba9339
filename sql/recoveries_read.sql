-- The months of one table that were restored from one source: what of, the rows they had then, bytes read, seconds, when.
SELECT
    month,
    content,
    month_rows,
    stored_bytes,
    seconds,
    toUnixTimestamp64Milli(finished_at) * 1000 AS finished_micros
FROM {database:Identifier}.recoveries FINAL
WHERE target = {target:String} AND source = {source:String}
