"""The real components that tests ask for by name."""

from services.mariadb import lms, lms_sqlite, mariadb
from services.seaweedfs import s3, s3_server
from services.site import site

__all__ = ["lms", "lms_sqlite", "mariadb", "s3", "s3_server", "site"]
