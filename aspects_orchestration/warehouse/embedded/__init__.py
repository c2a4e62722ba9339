"""The embedded ClickHouse: a real server from a package, for a machine that has no other."""
