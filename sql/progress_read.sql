-- The chunks that an earlier attempt at the same load has staged.
SELECT file, etag, byte_offset, any(account) AS chunk_account
FROM {database:Identifier}.{table:Identifier}
GROUP BY file, etag, byte_offset
ORDER BY file, etag, byte_offset
