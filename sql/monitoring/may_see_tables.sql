-- Whether this user sees every table; without that right, system tables leave out rows in silence.
CHECK GRANT SHOW TABLES ON *.*
