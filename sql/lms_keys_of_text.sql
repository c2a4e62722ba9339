-- The different keys of a copied LMS table whose keys are texts, a few thousand.
SELECT DISTINCT {key:Identifier} AS found
FROM {database:Identifier}.{table:Identifier}
ORDER BY found
