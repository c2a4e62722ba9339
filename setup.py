"""What pyproject.toml cannot say yet: the part in C, which is left out where there is no compiler."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "aspects_orchestration._native",
            ["aspects_orchestration/_native.c"],
            extra_compile_args=["-O3"],
            optional=True,
        )
    ]
)
