-- How many dictionaries a user may see the definitions of; system.dictionaries shows those that it may see itself.
SELECT count() AS defined
FROM system.tables
WHERE engine = 'Dictionary' AND database IN {databases:Array(String)}
