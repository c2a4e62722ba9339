-- The newest xAPI external id of some users, by LMS id or by username.
SELECT
    user_id,
    argMax(username, time_last_dumped) AS newest_username,
    argMax(external_user_id, time_last_dumped) AS newest_external_id,
    '' AS email
FROM {event_sink:Identifier}.external_id
WHERE external_id_type = 'xapi'
    AND (user_id IN {user_ids:Array(Int32)} OR username IN {usernames:Array(String)})
GROUP BY user_id
