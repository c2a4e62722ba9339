"""Realistic tracking logs for tests, demo and benchmarks: any size, deterministic by seed.

``python -m aspects_orchestration.samples --help`` writes them from the command line.

    >>> from aspects_orchestration.samples import SampleSpec, generate_lines
    >>> lines = list(generate_lines(SampleSpec(lines=1000, seed=7)))
"""

from aspects_orchestration.samples.damage import DAMAGES, TOLERABLE
from aspects_orchestration.samples.events import known_event_names, other_event_names
from aspects_orchestration.samples.generate import SampleLine, generate, generate_lines, lines_for_size
from aspects_orchestration.samples.spec import STYLES, SampleError, SampleSpec
from aspects_orchestration.samples.write import COMPRESSIONS, write_courses, write_identities, write_logs

__all__ = [
    "COMPRESSIONS",
    "DAMAGES",
    "STYLES",
    "TOLERABLE",
    "SampleError",
    "SampleLine",
    "SampleSpec",
    "generate",
    "generate_lines",
    "known_event_names",
    "lines_for_size",
    "other_event_names",
    "write_courses",
    "write_identities",
    "write_logs",
]
