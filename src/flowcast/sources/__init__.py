"""Sources: what is published where, under which role, and how its files are fetched.

The names below are loaded on first use; importing this package loads nothing heavy.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

if TYPE_CHECKING:
    from flowcast.sources.cache import Retrieval as Retrieval
    from flowcast.sources.cache import cache_folder as cache_folder
    from flowcast.sources.cache import find_cached as find_cached
    from flowcast.sources.fetch import fetch as fetch_source  # noqa: F401  # in __all__, by _HOME
    from flowcast.sources.registry import Registry as Registry
    from flowcast.sources.registry import SourceEntry as SourceEntry
    from flowcast.sources.registry import load_registry as load_registry

# Public name -> module and name in it. No name may be that of a module: importing it would win,
# which is why `fetch.fetch` is `fetch_source` here.
_HOME = {
    "Registry": ("registry", "Registry"),
    "Retrieval": ("cache", "Retrieval"),
    "SourceEntry": ("registry", "SourceEntry"),
    "cache_folder": ("cache", "cache_folder"),
    "fetch_source": ("fetch", "fetch"),
    "find_cached": ("cache", "find_cached"),
    "load_registry": ("registry", "load_registry"),
}

__all__ = [*_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
