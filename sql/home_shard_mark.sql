-- Creates the mark of the shard on which the project's own tables are filled; its name, which says which, is all that counts.
CREATE TABLE IF NOT EXISTS {database:Identifier}.{table:Identifier} /*on_cluster*/
(
    shard UInt32
)
ENGINE = Null
