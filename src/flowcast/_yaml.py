"""YAML files of mappings, and what is wrong with a file that is none."""

from pathlib import Path
from typing import Any

import yaml

from flowcast.errors import Faults

__all__ = ["load_yaml"]


class _Loader(yaml.SafeLoader):
    """The safe loader, but a key that stands twice is refused: YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping, each key of which stands in the file once."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                told = f"key {key.value!r} a second time"
                raise yaml.constructor.ConstructorError(problem=told, problem_mark=key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML, sets a key twice, or holds no mapping.
    """
    faults = Faults(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        faults.add(error.strerror or str(error), "a readable YAML file")
        faults.raise_if_any()
    try:
        loaded = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        faults.add(
            str(getattr(error, "problem", error)), "YAML", row=mark.line + 1 if mark else None
        )
        faults.raise_if_any()
    if not isinstance(loaded, dict):
        faults.add(type(loaded).__name__, "a mapping of keys to values")
        faults.raise_if_any()
    return dict(loaded)
