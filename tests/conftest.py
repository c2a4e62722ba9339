"""The real components that tests ask for by name, and the order in which files of tests are run."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
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

# Tests start hundreds of Python processes, and each imports Dagster: five seconds if nothing may be kept compiled, two
# otherwise. Where no bytecode is wanted beside the sources, it is kept apart from them.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).resolve().parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, then large ones.

    So that processes that share the suite (`make test`) end at about the same time: a file is run by one of them.
    """
    slow = Counter(one.path for one in items if one.get_closest_marker("slow"))
    tests = Counter(one.path for one in items)
    items.sort(key=lambda one: (-slow[one.path], -tests[one.path]))
