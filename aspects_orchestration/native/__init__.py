"""The part that is compiled where there was a C compiler at installation; without it the same is done in Python.

The C lies beside this file, and is what is done once a line, once an event or once a statement. Each function of it has a
twin in Python that gives the same, in the module that needs it: the twin is what runs where there was no compiler, and
what the tests hold the compiled one against.

    newlines = _newlines if native is None else native.newlines

All input is hostile: every look into a buffer is bounded by its length, and whatever is not exactly the usual is handed
back to Python.
"""

try:
    from aspects_orchestration import _native as native
except ImportError:
    native = None  # type: ignore[assignment]

#: Said where it matters.
NOT_COMPILED = "the compiled part is missing, because there was no C compiler at installation"

__all__ = ["NOT_COMPILED", "native"]
