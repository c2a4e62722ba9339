"""The part that is compiled where there was a C compiler at installation; without it the same is done in Python.

Each function of `_native.c` has a twin in Python that gives the same, in the module that needs it:

    newlines = _newlines if native is None else native.newlines
"""

try:
    from aspects_orchestration import _native as native
except ImportError:
    native = None  # type: ignore[assignment]

#: Said where it matters.
NOT_COMPILED = "the compiled part is missing, because there was no C compiler at installation"

__all__ = ["NOT_COMPILED", "native"]
