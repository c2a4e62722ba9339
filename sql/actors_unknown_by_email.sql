-- Different actors of a stretch of statements who are named by e-mail address (or its digest), and how many of them user_profile does not know.
SELECT
    count() AS actors,
    countIf(NOT is_known) AS unknown,
    emptyArrayString() AS some
FROM
(
    SELECT
        if({digest:Bool}, lower(hex(SHA1(email))), concat('mailto:', email)) AS name,
        true AS is_known
    FROM {event_sink:Identifier}.user_profile
    WHERE email != ''
) AS users
RIGHT ANY JOIN
(
    SELECT DISTINCT JSONExtractString(event, 'actor', if({digest:Bool}, 'mbox_sha1sum', 'mbox')) AS actor
    FROM {database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND sipHash64(event_id) % {modulus:UInt32} = 0
        AND actor != ''
) AS found ON users.name = found.actor
