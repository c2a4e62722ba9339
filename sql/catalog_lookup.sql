-- What the catalog knows of the files that are sent beside the query: the etag it saw, and whether anything in the file touches the window.
SELECT
    uri,
    argMax(etag, updated_at) AS seen_etag,
    argMax(arrayExists(hour -> hour >= {first_hour:UInt32} AND hour < {end_hour:UInt32}, hours), updated_at) AS touches,
    argMax(undated > 0 AND empty(hours), updated_at) AS all_undated
FROM {database:Identifier}.tracking_log_catalog
WHERE uri IN (SELECT text FROM listed) AND reader = {reader:String}
GROUP BY uri
