"""Promise 1: every line that is read is accounted for, and a run whose account does not add up publishes nothing."""

import bz2
import gzip
import lzma
from pathlib import Path

import orjson
import pytest
from backports import zstd
from services.events import quarantine_records
from services.faults import At
from services.site import Site

from aspects_orchestration.errors import AccountError
from aspects_orchestration.replay.plan import Mode
from aspects_orchestration.samples import STYLES, SampleSpec, write_courses, write_identities, write_logs


def plain(path: Path) -> bytes:
    """What a log holds, by other readers than the product's."""
    if path.suffix == ".zst":
        with path.open("rb") as stored:
            return zstd.decompress(stored.read())
    return {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}.get(path.suffix, open)(path, "rb").read()


def test_what_was_read_is_loaded_skipped_or_in_quarantine_whatever_stands_around_it(site: Site) -> None:
    for number, style in enumerate(STYLES):
        spec = SampleSpec(lines=1_500, seed=1, damage=0.05, style=style)
        compression = ("mixed", "none", "gz", "zst", "bz2", "xz")[number]
        write_logs(spec, site.logs / style, files=3, compression=compression)
    write_identities(SampleSpec(lines=0), site.folder / "identities.csv")
    write_courses(SampleSpec(lines=0), site.folder / "courses.csv")
    # A live file's last line is left for the next load while it is being written; these logs are at rest.
    files = [
        path.rename(path.with_name(path.name + ".1")) if path.name == "tracking.log" else path
        for path in sorted(site.logs.rglob("tracking*"))
    ]

    result = site.load("2024-05")

    contents = {path.as_uri(): plain(path) for path in files}
    assert len(contents) == len(STYLES) * 3
    for uri, content in contents.items():
        account = result.account.files[uri]
        assert account.lines == content.count(b"\n") + (content[-1:] not in {b"\n", b""})
        assert account.bytes == len(content)
        assert (
            account.lines == account.with_statements + account.skipped.total() + account.quarantined.total()
        )
    total = result.account.total
    assert total.lines == sum(account.lines for account in result.account.files.values())
    assert result.statements is not None
    one = result.statements
    assert total.statements == one.inserted + one.already_there + one.duplicates + one.collisions
    assert one.inserted == result.ids == result.rows_in_partition == site.rows().count(b"\n")
    assert total.quarantined.total() > 100

    # What is in quarantine is the line itself, at the place that is named.
    kept = quarantine_records(site.folder / "archive" / "quarantine")
    for record in kept:
        raw = record["line"].encode() if "line" in record else None
        if raw is not None:
            at = record["byte_offset"]
            assert contents[record["file"]][at : at + len(raw)] == raw
    reasons = {record["reason"] for record in kept}
    assert reasons == set(total.quarantined)
    assert {"cut", "unknown_user", "unknown_course", "no_time"} <= reasons
    (summary,) = (site.folder / "archive" / "quarantine").rglob("summary.json")
    assert orjson.loads(summary.read_bytes())["lines"] == dict(total.quarantined)
    assert site.check("2024-05")["account_adds_up"].passed


@pytest.mark.parametrize("mode", ["merge", "rebuild"])
def test_a_load_whose_counts_do_not_agree_publishes_nothing(site: Site, mode: str) -> None:
    site.write_samples(SampleSpec(lines=2_000), files=2)
    site.load("2024-05", sources=(min(site.logs.iterdir()).name,))
    before = site.rows()

    def staging() -> str:
        query = "SELECT name FROM system.tables WHERE name LIKE 'staging_%' FORMAT TSVRaw"
        return f"aspects_orchestration.{site.sql(query, admin=True).decode().strip()}"

    def lose_staged_statements() -> None:
        site.sql(f"TRUNCATE TABLE {staging()}", admin=True)

    with pytest.raises(AccountError, match=r"were built but 0 are staged") as refused:
        site.load("2024-05", At("read 100%", lose_staged_statements), mode=Mode(mode))
    assert refused.value.do.startswith("Nothing was published. Drop that table and run again")
    assert staging() in refused.value.what
    assert site.rows() == before

    site.sql(f"DROP TABLE {staging()}", admin=True)
    result = site.load("2024-05", mode=Mode(mode))
    assert result.ids == site.rows().count(b"\n")
