-- Takes the usernames of retired users out of a table whose rows stay; a mutation that goes on by itself.
ALTER TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
UPDATE username = '' WHERE user_id IN {user_ids:Array(Int32)} AND NOT startsWith(username, {retired_prefix:String})
