-- Dictionaries of some databases, each node's own: whether they are loaded, how old they are, and what their sources hold.
SELECT
    dictionaries.database,
    dictionaries.name,
    toString(dictionaries.status) AS load_status,
    dictionaries.element_count,
    toUnixTimestamp(dictionaries.last_successful_update_time) AS updated_s,
    dictionaries.lifetime_max,
    dictionaries.error_count,
    toInt32OrZero(extract(dictionaries.last_exception, '^Code: ([0-9]+)')) AS exception_code,
    errorCodeToName(exception_code) AS exception_name,
    toUnixTimestamp(now()) AS now_s,
    sources.tables AS source_tables,
    match(dictionaries.type, 'Direct|Cache') AS asks_its_source,
    concat(hostName(), ':', toString(tcpPort())) AS node
FROM /*of_every_node*/system.dictionaries AS dictionaries
LEFT JOIN (
    SELECT database, name, arrayZip(loading_dependencies_database, loading_dependencies_table) AS tables
    FROM system.tables
    WHERE engine = 'Dictionary'
) AS sources ON sources.database = dictionaries.database AND sources.name = dictionaries.name
WHERE dictionaries.database IN {databases:Array(String)}
ORDER BY dictionaries.database, dictionaries.name, node
SETTINGS skip_unavailable_shards = 1
