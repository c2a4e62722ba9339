"""What must hold of a sealed day: each question is one function of what a verification has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Final

from aspects_orchestration.archive.faults import Fault, Kind
from aspects_orchestration.archive.layout import MANIFESTS
from aspects_orchestration.archive.verify import Verified
from aspects_orchestration.warehouse.verify import Finding

Question = Callable[[Verified], Finding]


def manifest_is_unchanged(found: Verified) -> Finding:
    """The day has its manifest, as it was sealed: with the hash that it carries, and the one seen before."""
    kinds: set[Kind] = {"missing_manifest", "changed_manifest", "swapped", "unreadable"}
    return _finding(
        [one for one in found.faults if one.kind in kinds and _of_manifest(one) and one.day == found.day],
        "the manifest is the one that was sealed",
        found,
    )


def chain_holds(found: Verified) -> Finding:
    """The manifest follows the one before by its hash, the next one follows it, and no day between was left out."""
    kinds: set[Kind] = {"gap", "broken_chain"}
    return _finding(
        [
            one
            for one in found.faults
            if one.kind in kinds or (one.kind == "missing_manifest" and one.day != found.day)
        ],
        "the manifests before and after it follow from each other",
        found,
    )


def no_object_is_missing(found: Verified) -> Finding:
    """Every object of the manifest is there."""
    return _finding([one for one in found.faults if one.kind == "missing_object"], "all are there", found)


def no_object_is_extra(found: Verified) -> Finding:
    """Nothing lies in the day's folder that the manifest does not list."""
    return _finding([one for one in found.faults if one.kind == "extra"], "nothing else is there", found)


def objects_are_unchanged(found: Verified) -> Finding:
    """Every object has the size that it was sealed with and, where `verify_archive` has read it, the bytes."""
    kinds: set[Kind] = {"changed_size", "changed_bytes", "swapped", "unreadable"}
    read = f", {found.read_objects:,} were read back" if found.read_objects else ""
    return _finding(
        [one for one in found.faults if one.kind in kinds and not _of_manifest(one)],
        f"{found.objects:,} objects are as they were sealed{read}",
        found,
    )


#: Every question about a sealed day, by the name of its check.
QUESTIONS: Final[dict[str, Question]] = {
    one.__name__: one
    for one in (
        manifest_is_unchanged,
        chain_holds,
        no_object_is_missing,
        no_object_is_extra,
        objects_are_unchanged,
    )
}
#: What lies there besides does no harm to what was sealed.
WARNINGS: Final = frozenset({"no_object_is_extra"})


def of_day(found: Verified, day: date) -> Verified:
    """What a verification of all days has found of one."""
    return replace(found, day=day, faults=tuple(one for one in found.faults if one.day == day))


def _of_manifest(fault: Fault) -> bool:
    return fault.name.startswith(f"{MANIFESTS}/")


def _finding(faults: list[Fault], well: str, found: Verified) -> Finding:
    numbers = {"objects": found.objects, "faults": len(faults)}
    if not faults:
        return Finding(True, well, numbers)
    more = f" (and {len(faults) - 1:,} more)" if faults[1:] else ""
    return Finding(False, f"{faults[0]}{more}", numbers, tuple(str(one) for one in faults))
