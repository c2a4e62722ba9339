# The reader of the LMS database. Passwords come from the environment: they are on no command line.
{% if RUN_MYSQL %}
until mysql --user '{{ MYSQL_ROOT_USERNAME }}' --host '{{ MYSQL_HOST }}' --port {{ MYSQL_PORT }} --execute exit
do
    attempt=$((${attempt:-0} + 1))
    if [ "$attempt" -ge 30 ]; then echo "MySQL at {{ MYSQL_HOST }} does not answer: start it, and run init again" >&2; exit 1; fi
    sleep 10
done
mysql --user '{{ MYSQL_ROOT_USERNAME }}' --host '{{ MYSQL_HOST }}' --port {{ MYSQL_PORT }} <<SQL
CREATE USER IF NOT EXISTS '{{ ORCHESTRATION_MYSQL_USER }}'@'%';
ALTER USER '{{ ORCHESTRATION_MYSQL_USER }}'@'%' IDENTIFIED BY '$READER_PASSWORD';
GRANT SELECT (id, username, email, is_active, date_joined) ON \`{{ OPENEDX_MYSQL_DATABASE }}\`.auth_user TO '{{ ORCHESTRATION_MYSQL_USER }}'@'%';
{% for table in [
  "auth_userprofile", "external_user_ids_externalid", "external_user_ids_externalidtype",
  "user_api_userretirementstatus", "user_api_retirementstate", "course_overviews_courseoverview",
  "student_courseenrollment", "oel_tagging_tag", "oel_tagging_taxonomy", "oel_tagging_objecttag",
] -%}
GRANT SELECT ON \`{{ OPENEDX_MYSQL_DATABASE }}\`.{{ table }} TO '{{ ORCHESTRATION_MYSQL_USER }}'@'%';
{% endfor -%}
SQL
{% else %}
echo "MySQL is not Tutor's: create the reader there, and set ASPECTS_LMS_DATABASE_URL (docs/lms-tables.md)"
{% endif %}
