-- What became of the statements that this load and earlier attempts at it have sent: how many, by outcome.
SELECT outcome, uniqExact(event_id) AS statements
FROM {database:Identifier}.{table:Identifier}
WHERE sent_to = {sent_to:String}
GROUP BY outcome
ORDER BY outcome
