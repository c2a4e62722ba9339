-- How many different rows of the LMS stand in its copy, and when the newest of them was dumped.
SELECT uniqExact({key:Identifier}), max(time_last_dumped), count()
FROM {database:Identifier}.{table:Identifier}
