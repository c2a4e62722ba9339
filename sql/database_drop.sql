-- Drops the scratch database of a restore drill with all that is in it.
DROP DATABASE IF EXISTS {database:Identifier} /*on_cluster*/ SYNC
