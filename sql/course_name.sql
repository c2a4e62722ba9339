-- The newest display name of a course.
SELECT display_name
FROM {event_sink:Identifier}.course_overviews
WHERE course_key = {course_key:String}
ORDER BY time_last_dumped DESC
LIMIT 1
