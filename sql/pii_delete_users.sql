-- Deletes some users, by LMS id, from a table that holds personal data; a mutation that goes on by itself.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/ DELETE WHERE user_id IN {user_ids:Array(Int32)}
