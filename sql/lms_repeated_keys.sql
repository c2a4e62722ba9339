-- Keys of a copied LMS table that stand more than once among the rows that were dumped last of each key, and how often.
SELECT toString(found), repeats
FROM
(
    SELECT {key:Identifier} AS found, argMax(rows_of_dump, time_last_dumped) AS repeats
    FROM
    (
        SELECT {key:Identifier}, time_last_dumped, count() AS rows_of_dump
        FROM {database:Identifier}.{table:Identifier}
        GROUP BY {key:Identifier}, time_last_dumped
    )
    GROUP BY found
)
WHERE repeats > 1
ORDER BY found
LIMIT {most:UInt64}
