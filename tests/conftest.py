"""The real components that tests ask for by name."""

import os

from hypothesis import settings
from services.mariadb import lms, lms_sqlite, mariadb
from services.postgres import postgres
from services.ralph import ralph_program, stopped_ralphs
from services.seaweedfs import s3, s3_server
from services.site import shared_folder, shared_site, site
from services.theirs import theirs
from services.valkey import own_valkey, valkey, valkey_server

__all__ = ["lms", "lms_sqlite", "mariadb", "s3", "s3_server", "shared_folder", "shared_site", "site"]
__all__ += ["own_valkey", "postgres", "ralph_program", "stopped_ralphs", "theirs", "valkey", "valkey_server"]

# The same examples in every run; a search for new ones is `HYPOTHESIS_PROFILE=search`.
settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("search")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
