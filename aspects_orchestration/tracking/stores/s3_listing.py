"""Listings of S3, read several times as fast as botocore reads them.

botocore goes through each element of a page by its model, in Python, and that is nearly all of what listing many objects
costs. What is known of an object here is read past it; the rest of the page, and any page that is not as expected, is
botocore's as ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_WANTED: Final = ("Key", "Size", "ETag", "LastModified")


def read_listings_fast(client: S3Client) -> None:
    """Have a client's `list_objects_v2` give of each object its Key, Size, ETag and LastModified, and nothing else."""
    client.meta.events.register("before-parse.s3.ListObjectsV2", _read_contents)


def _read_contents(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object
) -> None:
    """Take the objects out of a page before botocore reads it."""
    if response_dict["status_code"] != 200:
        return
    try:
        # As botocore does it: expat itself bounds what entities may grow to.
        root = ElementTree.fromstring(response_dict["body"])  # noqa: S314
        contents = [_object(element) for element in root if _name(element) == "Contents"]
    except (ElementTree.ParseError, ValueError):
        return  # botocore knows what to say of it
    if not contents:
        return
    root[:] = [element for element in root if _name(element) != "Contents"]
    response_dict["body"] = ElementTree.tostring(root)
    customized_response_dict["Contents"] = contents


def _object(element: ElementTree.Element) -> dict[str, object]:
    names = [_name(child) for child in element]
    texts = dict(zip(names, (child.text or "" for child in element), strict=True))
    if not all(names.count(name) == 1 for name in _WANTED):
        raise ValueError("not one of each")
    modified = datetime.fromisoformat(texts["LastModified"])
    if modified.tzinfo is None:
        raise ValueError("a time without its zone")
    return {
        "Key": texts["Key"],
        "Size": int(texts["Size"]),
        "ETag": texts["ETag"],
        "LastModified": modified,
    }


def _name(element: ElementTree.Element) -> str:
    """The element's name without its namespace, which not every server gives."""
    return element.tag.rpartition("}")[2]
