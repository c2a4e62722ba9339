"""YAML that people write, read as plain values: no objects, and nothing that grows beyond what stands in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

#: Of characters. The longest config.yml of a site has some thousand lines.
_LONGEST: Final = 2 * 1024 * 1024
#: Values within values; YAML's reader takes longer and longer, and breaks at some hundred.
_DEEPEST: Final = 50
#: Values after all aliases are followed: ten of them in ten steps make ten thousand million.
_MOST: Final = 200_000


class _PlainLoader(yaml.SafeLoader):
    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self._depth > _DEEPEST:
            raise yaml.YAMLError("it is nested too deeply")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file: None where it is empty.

    Raises:
        OSError: it cannot be read.
        yaml.YAMLError, ValueError: it is no YAML, asks for objects, or is larger than any file of settings: in itself, or
            once its aliases are followed.
    """
    with path.open(encoding="utf-8") as file:
        text = file.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise yaml.YAMLError("it is too long")
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _MOST:
            raise yaml.YAMLError("its aliases make too much of it")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int | None]) -> int:
    """How many values a node holds, those of aliases each time that they stand there."""
    if id(node) in known:
        size = known[id(node)]
        if size is None:
            raise yaml.YAMLError("a value holds itself")
        return size
    known[id(node)] = None
    size = 1
    if isinstance(node, yaml.SequenceNode):
        size += sum(_size(one, known) for one in node.value)
    elif isinstance(node, yaml.MappingNode):
        size += sum(_size(one, known) for pair in node.value for one in pair)
    known[id(node)] = size
    return size
