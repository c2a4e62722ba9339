-- Rows of the raw table in a slice's stretch of time, whoever wrote them.
SELECT count() AS slice_rows
FROM {database:Identifier}.{table:Identifier}
WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
    AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    AND cityHash64(event_id) % {modulus:UInt32} = {remainder:UInt32}
