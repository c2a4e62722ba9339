-- Different actors of a stretch of statements, how many of them external_id does not know, and some of these.
SELECT
    count() AS actors,
    countIf(NOT is_known) AS unknown,
    groupArrayIf({shown:UInt32})(actor, NOT is_known) AS some
FROM (SELECT external_user_id, true AS is_known FROM {event_sink:Identifier}.external_id) AS users
RIGHT ANY JOIN
(
    SELECT DISTINCT JSONExtractString(event, 'actor', 'account', 'name') AS actor, toUUIDOrZero(actor) AS id
    FROM {database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND sipHash64(event_id) % {modulus:UInt32} = 0
        AND JSONHas(event, 'actor', 'account', 'name')
) AS found ON users.external_user_id = found.id
