"""The generator of sample logs: every event that upstream transforms, in realistic proportions, always the same."""

from __future__ import annotations

import bz2
import csv
import gzip
import hashlib
import json
import lzma
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from aspects_orchestration.samples import (
    DAMAGES,
    STYLES,
    TOLERABLE,
    SampleError,
    SampleLine,
    SampleSpec,
    generate,
    generate_lines,
    known_event_names,
    lines_for_size,
    other_event_names,
    write_courses,
    write_identities,
    write_logs,
)
from aspects_orchestration.samples import __main__ as command_line
from aspects_orchestration.samples.events import KINDS
from aspects_orchestration.xapi import erb

PLAIN = SampleSpec(lines=6_000, style="plain")


class Site:
    """The site's tables, read back from the files that the generator wrote."""

    def __init__(self, spec: SampleSpec, folder: Path) -> None:
        write_identities(spec, folder / "identities.csv")
        write_courses(spec, folder / "courses.csv")
        self._users: dict[int | str, erb.Identity] = {}
        for row in _rows(folder / "identities.csv"):
            who = erb.Identity(int(row["user_id"]), row["username"], row["external_user_id"], row["email"])
            self._users[who.user_id] = self._users[who.username] = who
        self._courses = {row["course_key"]: row["display_name"] for row in _rows(folder / "courses.csv")}

    def by_id(self, user_id: int) -> erb.Identity | None:
        return self._users.get(user_id)

    def by_username(self, username: str) -> erb.Identity | None:
        return self._users.get(username)

    def prefetch(self, user_ids: set[int], usernames: set[str]) -> None:
        pass

    def display_name(self, course_key: str) -> str | None:
        return self._courses.get(course_key)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def transformer() -> erb.Transformer:
    return erb.boot(lms_root_url=PLAIN.lms_root_url, actor_type="external_id")


def as_read(event: dict[str, Any]) -> dict[str, Any]:
    """An event as upstream's reader leaves it."""
    data = event["event"]
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            data = event["event"]
    return event | {"data": data} | ({"timestamp": event["time"]} if "time" in event else {})


def statements(transformer: erb.Transformer, line: bytes) -> list[erb.Statement]:
    event = json.loads(line)
    if event.get("name") not in transformer.names:
        return []
    return transformer.statements(as_read(event))


def test_every_event_that_upstream_transforms_occurs_within_the_first_few_hundred_lines(
    transformer: erb.Transformer,
) -> None:
    assert known_event_names() == transformer.names
    seen = {sample.name for sample in generate(replace(PLAIN, lines=400)) if sample.transformable}
    assert seen == transformer.names
    assert not other_event_names() & transformer.names


def test_every_event_said_to_be_transformable_is_and_no_other(
    transformer: erb.Transformer, tmp_path: Path
) -> None:
    site = Site(PLAIN, tmp_path)
    ids: Counter[str] = Counter()
    most: Counter[str] = Counter()
    with erb.site(site, site):
        for sample in generate(PLAIN):
            got = statements(transformer, sample.raw)
            assert bool(got) == sample.transformable, sample.name
            ids.update(statement["id"] for statement in got)
            most[sample.name] = max(most[sample.name], len(got))
    assert set(ids.values()) == {1}, "statements share ids"
    assert most["problem_check"] == 4, "a problem of three questions gives a parent and three children"


def test_rare_events_occur_in_every_few_thousand_lines() -> None:
    lines = list(generate(replace(PLAIN, lines=20_000)))
    for start in range(0, 20_000, 4_000):
        names = {sample.name for sample in lines[start : start + 4_000]}
        assert names >= known_event_names() | other_event_names()


def test_proportions_are_those_of_a_site() -> None:
    lines = list(generate(replace(PLAIN, lines=20_000)))
    names = Counter(sample.name for sample in lines if sample.transformable)
    assert 0.38 < sum(names.values()) / len(lines) < 0.42
    commonest = {name for name, _ in names.most_common(12)}
    assert commonest >= {"problem_check", "play_video", "pause_video", "load_video", "seek_video"}
    assert commonest >= {"edx.ui.lms.sequence.next_selected", "edx.completion.block_completion.changed"}
    assert 1_000 < sum(len(sample.raw) for sample in lines) / len(lines) < 2_000


def test_events_come_from_servers_browsers_and_phones_with_and_without_a_name() -> None:
    events = [json.loads(line) for line in generate_lines(PLAIN)]
    sources = Counter(event["event_source"] for event in events)
    assert min(sources[source] for source in ("server", "browser", "mobile")) > 50
    assert all(isinstance(event["event"], str) for event in events if event["event_source"] == "browser")
    assert any("name" not in event for event in events)
    assert any(event["context"].get("course_id", "").startswith("ccx-v1:") for event in events)
    assert any("user_id" not in event["context"] for event in events)
    assert len({event["session"] for event in events}) > 50
    assert max(len(line) for line in generate_lines(PLAIN)) > 16_384


def test_text_is_not_all_ascii_and_is_written_both_ways() -> None:
    lines = list(generate_lines(PLAIN))
    assert any(not line.isascii() for line in lines)
    assert any(
        line.isascii() and not json.dumps(json.loads(line), ensure_ascii=False).isascii() for line in lines
    )


def test_times_are_unique_nearly_sorted_and_in_the_span() -> None:
    times = [datetime.fromisoformat(sample.time.decode()) for sample in generate(PLAIN)]
    assert len(set(times)) == len(times) == PLAIN.lines
    assert min(times) >= PLAIN.start
    assert max(times) < PLAIN.end
    late = sum(later < earlier for earlier, later in pairwise(times))
    assert 0 < late < 0.1 * len(times)
    assert {time.month for time in times} == {4, 5, 6}


def test_times_stay_unique_where_lines_are_dense() -> None:
    dense = replace(PLAIN, start=datetime(2024, 5, 1, 9, 59, 59, 990_000, tzinfo=UTC), lines=5_000)
    dense = replace(dense, end=dense.start + timedelta(milliseconds=20))
    assert len({sample.time for sample in generate(dense)}) == 5_000
    with pytest.raises(SampleError, match="no room"):
        list(generate(replace(dense, lines=50_000)))


def test_the_same_spec_gives_the_same_bytes_in_another_process() -> None:
    spec = SampleSpec(lines=3_000, seed=11, damage=0.1, style="docker")
    here = hashlib.sha256(b"".join(generate_lines(spec))).hexdigest()
    program = (
        "import hashlib; from aspects_orchestration.samples import *;"
        "spec = SampleSpec(lines=3_000, seed=11, damage=0.1, style='docker');"
        "print(hashlib.sha256(b''.join(generate_lines(spec))).hexdigest())"
    )
    environment = {"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"}
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert here != hashlib.sha256(b"".join(generate_lines(replace(spec, seed=12)))).hexdigest()


def unwrapped(style: str, lines: Iterator[bytes]) -> Iterator[bytes]:
    """The events of a log, by the plainest reading of its style."""
    waiting = b""
    for line in lines:
        if style == "docker":
            waiting += json.loads(line)["log"].encode()
            if not waiting.endswith(b"\n"):
                continue
        elif style == "cri":
            _, _, flag, rest = line.split(b" ", 3)
            waiting += rest.rstrip(b"\n")
            if flag == b"P":
                continue
        elif style == "vector":
            message = json.loads(line)["message"]
            waiting = (message if isinstance(message, str) else json.dumps(message)).encode()
        else:
            waiting = line
        start = re.search(rb'\{"(?:name|context)": ', waiting)
        assert start
        yield waiting[start.start() :]
        waiting = b""


@pytest.mark.parametrize("style", STYLES)
def test_every_style_reads_back_to_the_same_events(style: str) -> None:
    spec = replace(PLAIN, lines=3_000)
    plain = [json.loads(line) for line in generate_lines(spec)]
    wrapped = list(generate_lines(replace(spec, style=style)))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in wrapped)
    assert [json.loads(event) for event in unwrapped(style, iter(wrapped))] == plain
    if style in {"docker", "cri"}:
        assert len(wrapped) > spec.lines, "no record was long enough to be split"


def test_every_damage_occurs_and_does_what_it_says(transformer: erb.Transformer, tmp_path: Path) -> None:
    spec = replace(PLAIN, damage=0.1)
    site = Site(spec, tmp_path)
    samples = list(generate(spec))
    assert len(samples) == spec.lines
    damaged = Counter(sample.damage for sample in samples if sample.damage)
    assert set(damaged) == set(DAMAGES)
    assert 0.08 < sum(damaged.values()) / spec.lines < 0.12
    seen: set[bytes] = set()
    with erb.site(site, site):
        for sample in samples:
            _check_damage(sample, transformer, seen)
            seen.add(sample.raw)


def _check_damage(sample: SampleLine, transformer: erb.Transformer, seen: set[bytes]) -> None:
    if sample.damage == "duplicate":
        assert sample.raw in seen
    elif sample.damage in {None, *TOLERABLE}:
        assert bool(statements(transformer, sample.raw.strip(b"\0\r\n"))) == sample.transformable
    elif sample.damage == "no_time":
        event = json.loads(sample.raw)
        assert event["name"] in transformer.names
        assert "time" not in event
    elif sample.damage in {"unknown_user", "unknown_course"}:
        with pytest.raises(erb.UntransformableError) as caught:
            statements(transformer, sample.raw)
        assert caught.value.reason == sample.damage
    else:
        with pytest.raises(ValueError, match=r".*"):
            json.loads(sample.raw)


def test_learners_and_courses_are_written_whole(tmp_path: Path) -> None:
    spec = SampleSpec(lines=0, users=500, courses=40)
    write_identities(spec, tmp_path / "identities.csv")
    write_courses(spec, tmp_path / "courses.csv")
    learners, courses = _rows(tmp_path / "identities.csv"), _rows(tmp_path / "courses.csv")
    for column in ("user_id", "username", "external_user_id", "email"):
        assert len({row[column] for row in learners}) == 500
    assert {row["external_id_type"] for row in learners} == {"xapi"}
    assert any(not row["username"].isascii() for row in learners)
    assert len({row["course_key"] for row in courses}) == 40
    assert sum(row["course_key"].startswith("ccx-v1:") for row in courses) == 13
    assert any(not row["display_name"].isascii() for row in courses)


def _content(path: Path) -> bytes:
    raw = path.read_bytes()
    match path.suffix:
        case ".gz":
            return gzip.decompress(raw)
        case ".zst":
            return zstd.decompress(raw)
        case ".bz2":
            return bz2.decompress(raw)
        case ".xz":
            return lzma.decompress(raw)
    return raw


@pytest.mark.parametrize("compression", ["mixed", "none", "gz", "zst", "bz2", "xz"])
def test_files_hold_the_lines_in_order_whatever_the_compression(tmp_path: Path, compression: str) -> None:
    spec = SampleSpec(lines=2_000, damage=0.05)
    paths = write_logs(spec, tmp_path, files=7, compression=compression)
    assert b"".join(map(_content, paths)) == b"".join(generate_lines(spec))
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert paths[-1].name == "tracking.log"
    assert len({path.suffix for path in paths[:-1]}) == (
        2 if compression == "mixed" else len(paths) - 1 if compression == "none" else 1
    )


def test_a_rotated_file_straddles_the_border_of_two_months(tmp_path: Path) -> None:
    paths = write_logs(SampleSpec(lines=2_000, style="plain"), tmp_path, files=7)
    months = [{json.loads(line)["time"][:7] for line in _content(path).splitlines()} for path in paths]
    assert {"2024-04", "2024-05"} in months
    assert {"2024-05", "2024-06"} in months


def test_a_single_file_is_live_unless_a_compression_is_asked_for(tmp_path: Path) -> None:
    spec = SampleSpec(lines=10)
    assert [path.name for path in write_logs(spec, tmp_path / "live", files=1)] == ["tracking.log"]
    (rotated,) = write_logs(spec, tmp_path / "rotated", files=1, compression="gz")
    assert rotated.name.startswith("tracking.log-2024")
    assert rotated.suffix == ".gz"


def test_a_size_is_met_to_a_few_per_cent() -> None:
    spec = SampleSpec(lines=0)
    lines = lines_for_size(spec, 30_000_000)
    assert abs(sum(map(len, generate_lines(replace(spec, lines=lines)))) / 30_000_000 - 1) < 0.03


def test_the_command_line_writes_logs_learners_and_courses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        "--size 2MB --seed 3 --files 4 --compression gz --style syslog --damage 0.01 --users 50 --courses 3"
    )
    span = "--from 2024-05-01 --to 2024-05-08"
    assert command_line.main(["--out", str(tmp_path), *arguments.split(), *span.split()]) == 0
    logs = sorted((tmp_path / "logs").iterdir())
    assert len(logs) == 4
    assert abs(sum(len(_content(path)) for path in logs) / 2_000_000 - 1) < 0.1
    assert len(_rows(tmp_path / "identities.csv")) == 50
    assert len(_rows(tmp_path / "courses.csv")) == 3
    assert str(tmp_path / "logs") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--lines -1", "lines is -1"),
        ("--users 0", "users is 0"),
        ("--damage 1.5", "damage is 1.5"),
        ("--from 2024-06-01 --to 2024-05-01", "span of the sample is empty"),
        ("--files 0", "0 sample files"),
    ],
)
def test_the_command_line_refuses_the_impossible(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: str, said: str
) -> None:
    assert command_line.main(["--out", str(tmp_path), *arguments.split()]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the folder should be")
    with pytest.raises(SampleError, match="cannot be written"):
        write_logs(SampleSpec(lines=10), tmp_path / "logs")


def test_templates_are_json_whatever_fills_them() -> None:
    assert all(kind.template.startswith((b'{"name"', b'{"context"')) for kind in KINDS)
    assert all(b"<<" not in kind.template for kind in KINDS)
