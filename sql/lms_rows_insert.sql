-- Inserts those rows of the LMS that are not there yet, or there with another content; all of them bear one dump's marks.
INSERT INTO {database:Identifier}.{table:Identifier}
SELECT *, toUUID({dump_id:String}), {time_last_dumped:String}
FROM sent
WHERE (cityHash64({key:Identifier}), cityHash64(*)) NOT IN (
        SELECT key, content
        FROM {own_database:Identifier}.{newest:Identifier}
        WHERE position BETWEEN {first:Int64} AND {last:Int64}
    )
    -- A run that slept while another took its lock over must not wake up in here.
    AND (
        SELECT argMax(run_id, heartbeat) FROM {lock_database:Identifier}.{lock_table:Identifier}
    ) = {run_id:String}
ORDER BY {position:Identifier}
LIMIT {most:UInt64}
