-- Different courses of a stretch of statements, how many of them course_overviews does not know, and some of these.
SELECT
    count() AS courses,
    countIf(course_key NOT IN (SELECT course_key FROM {event_sink:Identifier}.course_overviews)) AS unknown,
    groupArrayIf({shown:UInt32})(
        course_key,
        course_key NOT IN (SELECT course_key FROM {event_sink:Identifier}.course_overviews)
    ) AS some
FROM
(
    SELECT DISTINCT
        coalesce(
            nullIf(extract(JSONExtractString(event, 'context', 'contextActivities', 'parent', 1, 'id'), '/course/(.+)$'), ''),
            if(
                JSONExtractString(event, 'object', 'definition', 'type')
                    = 'http://adlnet.gov/expapi/activities/course',
                extract(JSONExtractString(event, 'object', 'id'), '/course/(.+)$'),
                ''
            )
        ) AS course_key
    FROM {database:Identifier}.{table:Identifier}
    WHERE emission_time >= fromUnixTimestamp64Micro({start:Int64})
        AND emission_time < fromUnixTimestamp64Micro({end:Int64})
        AND sipHash64(event_id) % {modulus:UInt32} = 0
)
WHERE course_key != ''
