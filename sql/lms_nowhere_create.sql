-- Creates a twin of a copied LMS table that keeps nothing, for a dry run.
CREATE TABLE {own_database:Identifier}.{twin:Identifier} /*on_cluster*/
AS {database:Identifier}.{table:Identifier}
ENGINE = Null
