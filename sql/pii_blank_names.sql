-- Takes the usernames out of a table whose rows stay; a mutation that goes on by itself.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/ UPDATE username = '' WHERE username != ''
