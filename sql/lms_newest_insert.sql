-- Notes the newest content of each row of a copied LMS table; of one dump alone, if its time is given.
INSERT INTO {own_database:Identifier}.{newest:Identifier} (position, key, content)
SELECT
    max(toInt64OrZero(toString({position:Identifier}))),
    cityHash64({key:Identifier}),
    argMax(cityHash64(* EXCEPT (dump_id, time_last_dumped)), time_last_dumped)
FROM {database:Identifier}.{table:Identifier}
WHERE {only_dump_of:String} = '' OR time_last_dumped = {only_dump_of:String}
GROUP BY {key:Identifier}
SETTINGS optimize_aggregation_in_order = 1, max_bytes_before_external_group_by = 1000000000
