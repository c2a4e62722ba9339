"""Ask for known vulnerabilities of every pinned package; fail if there are any, and say if nobody could be asked."""

import json
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Returns 1 if a pinned version has a known vulnerability."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", "requirements.lock"),
            *("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[1],
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        print(f"NOT AUDITED: no database of advisories could be asked ({reason})")
        return 0
    asked = [one for one in packages if "vulns" in one]
    bad = [one for one in asked if one["vulns"]]
    for one in bad:
        for found in one["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"{one['name']} {one['version']}: {found['id']}, mended in {mended}")
    kept = len(packages) - len(asked)
    print(f"{len(asked)} packages asked about, {len(bad)} with known vulnerabilities, {kept} NOT AUDITED")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
