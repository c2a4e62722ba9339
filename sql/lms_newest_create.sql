-- Creates the newest content of each row of a copied LMS table, as hashes in the LMS's order, for the time of one copy.
CREATE TABLE {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    position Int64,
    key UInt64,
    content UInt64
)
ENGINE = /*replicated*/MergeTree
ORDER BY position
