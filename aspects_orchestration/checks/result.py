"""A `Finding` as Dagster shows it."""

import dagster as dg

from aspects_orchestration.warehouse.verify import Finding


def check_result(
    asset: dg.AssetKey, name: str, finding: Finding, severity: dg.AssetCheckSeverity
) -> dg.AssetCheckResult:
    """The result of a check: its sentence, its numbers, and the lines behind it as a list."""
    lines = (
        {"found": dg.MetadataValue.md("\n".join(f"- {line}" for line in finding.lines))}
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
