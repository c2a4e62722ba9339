"""What the docs site has beside the pages of this folder: the README as its front page, files of the checkout that pages
link to, and the reference, which is made of the code when the site is built.

A hook of mkdocs: see mkdocs.yml.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)]*)?\))")
_NOT_RUN = re.compile(r"^( *)\*(Not run here: [^*]+)\*$", re.MULTILINE)
_SETTINGS = re.compile(r"^\| setting \| default \| meaning \|\n(?:\|.*\n)+", re.MULTILINE)
_LANGUAGES = {".sql": "sql", ".yaml": "yaml", ".service": "ini", ".md": "markdown"}


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    for name in [name for name in os.environ if name.startswith(("ASPECTS_", "CLICKHOUSE_", "DAGSTER_"))]:
        del os.environ[name]  # the reference is of the defaults, whoever builds it
    sys.path.insert(0, str(Path(__file__).parent))  # mkdocs puts its own path back after it has read a hook
    from reference import pages

    made = {"index.md": (ROOT / "README.md").read_text(), "CHANGELOG.md": (ROOT / "CHANGELOG.md").read_text()}
    made |= {f"reference/{name}.md": text for name, text in pages().items()}
    texts = [
        *made.values(),
        *((ROOT / "docs" / file.src_uri).read_text() for file in files.documentation_pages()),
    ]
    made |= {page: shown(path) for page, path in linked_files(texts)}
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to where the pages are on the site, set notes apart, and make the table of settings anew."""
    here = page.file.src_uri
    if here == "settings.md":
        from reference import settings_table

        markdown = _SETTINGS.sub(lambda _: settings_table(), markdown)
    return marked(_LINK.sub(lambda link: link[1] + _target(link[2], here) + link[3], markdown))


def marked(markdown: str) -> str:
    """Set apart as a small note what stands below commands that no test runs: tests/test_shown_commands_run.py."""
    return _NOT_RUN.sub(r"\1*\2*{ .not-run }", markdown)


def linked_files(texts: list[str]) -> Iterator[tuple[str, Path]]:
    """Files of the checkout, outside of docs/, that pages link to: the page of each, and its path."""
    for path in sorted({path for text in texts for path in map(_outside, _LINK.findall(text)) if path}):
        whole = ROOT / path
        for one in sorted(whole.iterdir()) if whole.is_dir() else [whole]:
            if one.is_file():
                yield f"files/{one.relative_to(ROOT).as_posix()}.md", one
        if whole.is_dir():
            yield f"files/{path}/index.md", whole


def shown(path: Path) -> str:
    """A file as a page; of a folder the list of its files."""
    name = path.relative_to(ROOT).as_posix()
    head = f"---\nsearch: {{exclude: true}}\n---\n\n# {name}\n\n"
    if path.is_dir():
        names = sorted(one.name for one in path.iterdir() if one.is_file())
        return head + "".join(f"- [{one}]({one}.md)\n" for one in names)
    language = _LANGUAGES.get(path.suffix, "text")
    return f"{head}````{language}\n{path.read_text()}````\n"


def _outside(link: tuple[str, str, str]) -> str | None:
    target = link[1]
    if target.startswith("../"):
        target = target.removeprefix("../")
    elif target.startswith("docs/") or "://" in target or not (ROOT / target).exists():
        return None
    if target in {"README.md", "CHANGELOG.md"} or target.startswith("docs/"):
        return None
    return target if (ROOT / target).exists() else None


def _target(target: str, here: str) -> str:
    if "://" in target or target.startswith("mailto:"):
        return target
    if here in {"index.md", "CHANGELOG.md"}:
        wanted = target.removeprefix("docs/") if target.startswith("docs/") else _page_of(target)
    elif target.startswith("../") and not here.startswith(("reference/", "files/")):
        wanted = _page_of(target.removeprefix("../"))
    else:
        return target
    return posixpath.relpath(wanted, posixpath.dirname(here) or ".")


def _page_of(path: str) -> str:
    if path in {"README.md", "CHANGELOG.md"}:
        return {"README.md": "index.md"}.get(path, path)
    return f"files/{path}/index.md" if (ROOT / path).is_dir() else f"files/{path}.md"
