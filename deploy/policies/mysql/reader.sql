-- The reader of the LMS database: of eleven tables, and of auth_user without its password hashes. For an administrator, on
-- the primary of the replica that ASPECTS_LMS_DATABASE_URL names.
--
-- `openedx`: the LMS's database. '%': from where the project runs, such as '10.0.0.%'.
CREATE USER IF NOT EXISTS 'aspects_reader'@'%' IDENTIFIED BY '<password>';

-- Who is who. E-mail addresses are read with ASPECTS_ENABLE_PII, or with XAPI_AGENT_IFI_TYPE mbox or mbox_sha1sum, alone.
GRANT SELECT (id, username, email, is_active, date_joined) ON `openedx`.auth_user TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.external_user_ids_externalid TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.external_user_ids_externalidtype TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.user_api_userretirementstatus TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.user_api_retirementstate TO 'aspects_reader'@'%';

-- Courses, enrolments and tags.
GRANT SELECT ON `openedx`.course_overviews_courseoverview TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.student_courseenrollment TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.oel_tagging_tag TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.oel_tagging_taxonomy TO 'aspects_reader'@'%';
GRANT SELECT ON `openedx`.oel_tagging_objecttag TO 'aspects_reader'@'%';

-- With ASPECTS_ENABLE_PII alone: profiles.
GRANT SELECT ON `openedx`.auth_userprofile TO 'aspects_reader'@'%';
