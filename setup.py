"""What pyproject.toml cannot say yet: the part in C, which is left out where there is no compiler."""

from setuptools import Extension, setup

_FOLDER = "aspects_orchestration/native"
_PARTS = ("module", "lines", "events", "ids", "statements", "rows")

setup(
    ext_modules=[
        Extension(
            "aspects_orchestration._native",
            [f"{_FOLDER}/{part}.c" for part in _PARTS],
            depends=[f"{_FOLDER}/native.h"],
            extra_compile_args=["-O3"],
            optional=True,
        )
    ]
)
