-- Creates the function that gives the organisation of a course's URL (…/course-v1:Org+Course+Run), NULL where there is none.
CREATE FUNCTION IF NOT EXISTS get_org_from_course_url /*on_cluster*/ AS (course_url) ->
    nullIf(extract(course_url, 'course-v1:([^+/?#&\\s]+)'), '')
