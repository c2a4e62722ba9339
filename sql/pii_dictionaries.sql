-- Dictionaries that keep a copy of personal data in memory, such as Aspects' user_pii: those defined upon its tables.
SELECT database, name
FROM system.tables
WHERE engine = 'Dictionary'
    AND startsWith(create_table_query, 'CREATE DICTIONARY')
    AND (position(create_table_query, 'external_id') > 0 OR position(create_table_query, 'user_profile') > 0)
ORDER BY database, name
