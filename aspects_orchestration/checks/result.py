"""What the checks share: specs from questions, and a `Finding` as Dagster shows it.

A question is a function whose name is the check's and whose docstring its description; it answers with a `Finding`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import dagster as dg

from aspects_orchestration.errors import AspectsError
from aspects_orchestration.markdown import cell
from aspects_orchestration.warehouse.verify import Finding


def check_specs(
    asset: dg.AssetKey,
    questions: Mapping[str, Callable[..., Finding]],
    *,
    partitions_def: dg.PartitionsDefinition | None = None,
) -> list[dg.AssetCheckSpec]:
    """The specs of questions about an asset.

    Args:
        asset: what is asked about.
        questions: by the name of the check.
        partitions_def: where they are asked of one partition.
    """
    return [
        dg.AssetCheckSpec(name, asset=asset, description=question.__doc__, partitions_def=partitions_def)
        for name, question in questions.items()
    ]


def selected(
    context: dg.AssetCheckExecutionContext, questions: Mapping[str, object]
) -> list[dg.AssetCheckKey]:
    """The checks that a run was asked for, in the order of the questions."""
    names = list(questions)
    return sorted(
        context.selected_asset_check_keys, key=lambda key: (key.asset_key.path, names.index(key.name))
    )


def answered(
    keys: Iterable[dg.AssetCheckKey], ask: Callable[[dg.AssetCheckKey], Finding]
) -> Iterator[tuple[dg.AssetCheckKey, Finding]]:
    """Ask, one after the other; what cannot be asked has not passed, and says why."""
    for key in keys:
        try:
            yield key, ask(key)
        except AspectsError as error:
            yield key, Finding(False, str(error))


def told(
    found: Iterable[tuple[dg.AssetCheckKey, Finding]], *, warnings: Collection[str] = ()
) -> Iterator[dg.AssetCheckResult]:
    """The results, and a failure after the last if one that is no warning has not passed.

    Args:
        found: of each check what was found.
        warnings: names of checks whose failing is a warning.

    Raises:
        dg.Failure: whoever looks at the exit code of a run must not take it for good.
    """
    failed = []
    assets = set()
    for key, finding in found:
        assets.add(key.asset_key)
        if not finding.passed and key.name not in warnings:
            failed.append((key, finding))
        yield check_result(key.asset_key, key.name, finding, severity(key.name, warnings))
    if failed:
        several = len(assets) > 1
        raise dg.Failure(
            description="; ".join(
                f"{key.name}{f' of {key.asset_key.path[-1]}' if several else ''}: {finding.summary}"
                for key, finding in failed
            ),
            allow_retries=False,
        )


def severity(name: str, warnings: Collection[str]) -> dg.AssetCheckSeverity:
    """How bad it is if a check does not pass."""
    return dg.AssetCheckSeverity.WARN if name in warnings else dg.AssetCheckSeverity.ERROR


def check_result(
    asset: dg.AssetKey, name: str, finding: Finding, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """The result of a check: its sentence, its numbers, and the lines behind it as a list."""
    lines = (
        {"found": dg.MetadataValue.md("\n".join(f"- {cell(line)}" for line in finding.lines))}
        if finding.lines
        else {}
    )
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=name,
        passed=finding.passed,
        severity=severity,
        description=finding.summary,
        metadata={**finding.numbers, **lines},
    )


def evaluation(
    asset: dg.AssetKey,
    name: str,
    finding: Finding,
    severity: dg.AssetCheckSeverity,
    *,
    partition: str | None = None,
) -> dg.AssetCheckEvaluation:
    """The same, as a job that is no check tells of it."""
    result = check_result(asset, name, finding, severity)
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=name,
        passed=result.passed,
        severity=severity,
        description=result.description,
        metadata=result.metadata,
        partition=partition,
    )
