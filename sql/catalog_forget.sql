-- Empties the catalog of tracking logs: the next reading of each file fills it again.
TRUNCATE TABLE {database:Identifier}.tracking_log_catalog /*on_cluster*/
