-- Loads a dictionary anew, so that it forgets what its tables no longer hold.
SYSTEM RELOAD DICTIONARY /*on_cluster*/ {database:Identifier}.{dictionary:Identifier}
