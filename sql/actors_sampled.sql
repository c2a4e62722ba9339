-- How some statements of a stretch of time name their actors, and of which LMS they say they are; the first ones in time.
SELECT
    multiIf(
        JSONHas(event, 'actor', 'account'), 'external_id',
        JSONHas(event, 'actor', 'mbox'), 'mbox',
        JSONHas(event, 'actor', 'mbox_sha1sum'), 'mbox_sha1sum',
        ''
    ) AS kind,
    if(
        kind = 'external_id',
        JSONExtractString(event, 'actor', 'account', 'homePage'),
        -- An address says nothing of the LMS, but the course of the statement does.
        extract(JSONExtractString(event, 'context', 'contextActivities', 'parent', 1, 'id'), '^(.*?)/course/')
    ) AS root_url,
    count() AS statements
FROM
(
    SELECT event
    FROM {database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
    ORDER BY emission_time
    LIMIT {limit:UInt32}
)
GROUP BY kind, root_url
