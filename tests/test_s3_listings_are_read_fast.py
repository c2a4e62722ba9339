"""A page of a listing gives the same objects as botocore reads out of it, and what is odd is left to botocore."""

from __future__ import annotations

import io
from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session
from hypothesis import given, settings
from hypothesis import strategies as st

from aspects_orchestration.tracking.stores.s3_listing import read_listings_fast

_NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_TIME = "2024-05-01T12:34:56.789Z"


class _Raw(io.BytesIO):
    def stream(self, **_: object) -> Any:
        yield self.read()


class _Canned:
    """A client of S3 that is answered from here."""

    def __init__(self, *, fast: bool) -> None:
        self.client = get_session().create_client(
            "s3",
            region_name="us-east-1",
            config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),
        )
        self.client.meta.events.register("before-send.s3.ListObjectsV2", self._answer)
        if fast:
            read_listings_fast(self.client)
        self.pages: list[tuple[int, bytes]] = []

    def _answer(self, request: Any, **_: object) -> AWSResponse:
        status, body = self.pages.pop(0)
        return AWSResponse(request.url, status, {"content-type": "application/xml"}, _Raw(body))

    def listed(self, *pages: bytes, status: int = 200) -> Any:
        """What a listing gives of some pages, or the kind of error that it ends with."""
        self.pages = [(status, page) for page in pages]
        try:
            paginator = self.client.get_paginator("list_objects_v2")
            read = list(paginator.paginate(Bucket="bucket", Prefix="logs/"))
        except (BotoCoreError, ClientError) as error:
            return type(error).__name__
        return [
            (
                [
                    {name: one[name] for name in ("Key", "Size", "ETag", "LastModified") if name in one}
                    for one in page.get("Contents", ())
                ],
                page["IsTruncated"],
                page.get("NextContinuationToken"),
                page.get("Prefix"),
            )
            for page in read
        ]


_FAST, _SLOW = _Canned(fast=True), _Canned(fast=False)


def _object(key: str, *, time: str = _TIME, size: object = 5, more: str = "") -> str:
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{time}</LastModified><ETag>&quot;abc-1&quot;</ETag>"
        f"<Size>{size}</Size>{more}<StorageClass>STANDARD</StorageClass></Contents>"
    )


def _page(*objects: str, namespace: str = _NAMESPACE, token: str = "", encoded: bool = False) -> bytes:
    more = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
        if token
        else "<IsTruncated>false</IsTruncated>"
    )
    encoding = "<EncodingType>url</EncodingType>" if encoded else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult{namespace}><Name>bucket</Name>'
        f"<Prefix>logs/</Prefix>{encoding}{more}{''.join(objects)}</ListBucketResult>"
    ).encode()


def test_pages_of_amazon_and_of_others_give_the_objects_in_their_order() -> None:
    pages = (
        _page(_object("logs/a"), _object("logs/b", size=7), token="next"),
        _page(_object("logs/c"), namespace=""),
    )
    read = _FAST.listed(*pages)
    assert [[one["Key"] for one in objects] for objects, *_ in read] == [["logs/a", "logs/b"], ["logs/c"]]
    assert read[0][0][1]["Size"] == 7
    assert read[0][0][0]["ETag"] == '"abc-1"'
    assert read[0][0][0]["LastModified"].isoformat() == "2024-05-01T12:34:56.789000+00:00"
    assert read == _SLOW.listed(*pages)


def test_what_botocore_reads_of_an_object_is_not_read_by_it() -> None:
    """Else the fast way may be off without anyone noticing."""
    _FAST.pages = [(200, _page(_object("logs/a")))]
    (one,) = _FAST.client.list_objects_v2(Bucket="bucket")["Contents"]
    assert "StorageClass" not in one


@settings(max_examples=200, deadline=None)
@given(
    keys=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="￾￿")), max_size=4
    ),
    encoded=st.booleans(),
    namespace=st.sampled_from(["", _NAMESPACE]),
)
def test_any_key_is_read_as_botocore_reads_it(keys: list[str], encoded: bool, namespace: str) -> None:
    page = _page(*map(_object, keys), encoded=encoded, namespace=namespace)
    assert _FAST.listed(page) == _SLOW.listed(page)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(_page(), id="no objects"),
        pytest.param(_page(_object("logs/a", time="Wed, 01 May 2024 12:34:56 GMT")), id="time of HTTP"),
        pytest.param(_page(_object("logs/a", time="2024-05-01T12:34:56")), id="time without a zone"),
        pytest.param(_page(_object("logs/a", time="2024-05-01T14:34:56+02:00")), id="time of another zone"),
        pytest.param(_page(_object("logs/a", time="soon")), id="no time"),
        pytest.param(_page(_object("logs/a", size="many")), id="no size"),
        pytest.param(_page(_object("logs/a", size="")), id="empty size"),
        pytest.param(_page("<Contents><Key>logs/a</Key></Contents>", _object("logs/b")), id="a key alone"),
        pytest.param(_page(_object("logs/a", more="<Owner><ID>Key</ID></Owner>")), id="with its owner"),
        pytest.param(_page(_object("logs/a"), "<Contents/>"), id="nothing in it"),
        pytest.param(_page(_object("logs/a"))[:-30], id="cut off"),
        pytest.param(b"<html><body>Sign in</body></html>", id="a page for people"),
        pytest.param(b"", id="nothing at all"),
    ],
)
def test_what_is_odd_comes_out_as_botocore_has_it(page: bytes) -> None:
    def outcome(canned: _Canned) -> Any:
        try:
            return canned.listed(page)
        except Exception as error:
            return type(error).__name__

    assert outcome(_FAST) == outcome(_SLOW)


def test_a_refusal_stays_one() -> None:
    denied = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    assert _FAST.listed(denied, status=403) == _SLOW.listed(denied, status=403) == "AccessDenied"
