"""YAML files of mappings, and what is wrong with a file that is none."""

from pathlib import Path
from typing import Any

import yaml

from flowcast.errors import Faults

__all__ = ["load_yaml"]


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, is not YAML, or holds no mapping.
    """
    faults = Faults(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        faults.add(error.strerror or str(error), "a readable YAML file")
        faults.raise_if_any()
    try:
        loaded = yaml.safe_load(text)
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
