"""The real components that tests ask for by name."""

from services.mariadb import lms, lms_sqlite, mariadb
from services.seaweedfs import s3, s3_server
from services.site import shared_folder, shared_site, site

__all__ = ["lms", "lms_sqlite", "mariadb", "s3", "s3_server", "shared_folder", "shared_site", "site"]
