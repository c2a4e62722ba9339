-- Creates a database if it is absent.
CREATE DATABASE IF NOT EXISTS {database:Identifier} /*on_cluster*/
