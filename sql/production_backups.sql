-- Backups that the server has made since it was started: how many succeeded, and when the newest ended.
SELECT count() AS backups, max(end_time) AS newest
FROM system.backups
WHERE status = 'BACKUP_CREATED'
