"""The real components that tests ask for by name."""

from services.seaweedfs import s3, s3_server
from services.site import site

__all__ = ["s3", "s3_server", "site"]
