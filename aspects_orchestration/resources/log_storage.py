"""Log storage as assets and jobs reach it."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from aspects_orchestration.tracking.stores import S3Options


class LogStorageResource(dg.ConfigurableResource["LogStorageResource"]):
    """How to talk to S3; everything else about log storage is in the URIs of the settings.

    Credentials, region and endpoint come by boto3's own rules (AWS_*, AWS_ENDPOINT_URL_S3, profiles, roles).
    """

    region: str | None = Field(None, description="Region, if not boto3's own.")
    endpoint_url: str | None = Field(
        None, description="Endpoint of another S3 than Amazon's, if not boto3's own."
    )

    def s3(self) -> S3Options:
        """Options for the stores."""
        return S3Options(endpoint_url=self.endpoint_url, region=self.region)
