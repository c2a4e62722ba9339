-- Statements of a load that were refused, and where in the logs they come from: file, offset, outcome, detail, in that order.
SELECT file, byte_offset, outcome, detail
FROM
(
    SELECT event_id, outcome, detail
    FROM {database:Identifier}.{table:Identifier}
    WHERE sent_to = {sent_to:String} AND outcome NOT IN ('taken', 'there')
    LIMIT 1 BY event_id
) AS refused
INNER JOIN
(
    SELECT event_id, file, byte_offset
    FROM {staging_database:Identifier}.{staging_table:Identifier}
    WHERE event_id IN (
        SELECT event_id
        FROM {database:Identifier}.{table:Identifier}
        WHERE sent_to = {sent_to:String} AND outcome NOT IN ('taken', 'there')
    )
    ORDER BY event_id, file, byte_offset, number
    LIMIT 1 BY event_id
) AS staged USING (event_id)
ORDER BY file, byte_offset
