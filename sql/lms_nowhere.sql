-- Creates a twin of a copied LMS table that keeps nothing, for a dry run.
CREATE TABLE {own_database:Identifier}.{twin:Identifier} /*on_cluster*/
ENGINE = Null
EMPTY AS SELECT * FROM {database:Identifier}.{table:Identifier}
