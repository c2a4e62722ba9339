-- The newest xAPI external id and e-mail address of some users, by LMS id or by username.
SELECT
    ids.user_id,
    argMax(ids.username, ids.time_last_dumped) AS newest_username,
    argMax(ids.external_user_id, ids.time_last_dumped) AS newest_external_id,
    argMax(profiles.email, profiles.time_last_dumped) AS newest_email
FROM {event_sink:Identifier}.external_id AS ids
LEFT JOIN {event_sink:Identifier}.user_profile AS profiles ON profiles.user_id = ids.user_id
WHERE ids.external_id_type = 'xapi'
    AND (ids.user_id IN {user_ids:Array(Int32)} OR ids.username IN {usernames:Array(String)})
GROUP BY ids.user_id
