-- Creates the function that gives the organisation of a custom course's URL (…/ccx-v1:Org+Course+Run+ccx@1), NULL where there is none.
CREATE FUNCTION IF NOT EXISTS get_org_from_ccx_course_url /*on_cluster*/ AS (course_url) ->
    nullIf(extract(course_url, 'ccx-v1:([^+/?#&\\s]+)'), '')
