"""Public names of a package that load their module on first use (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

__all__ = ["lazy_names"]


def lazy_names(
    package: str, home: Mapping[str, str | tuple[str, str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package.

    Parameters
    ----------
    package
        Its name.
    home
        Public name to the module of the package that has it, or to that module and the name there.
    """

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = home[name]
        module, original = (found, name) if isinstance(found, str) else found
        value: object = getattr(import_module(f"{package}.{module}"), original)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    return load, lambda: sorted(sys.modules[package].__all__)
