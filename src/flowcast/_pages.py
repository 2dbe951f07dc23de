"""Pages from the package's templates: HTML files that need no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flowcast import __version__

__all__ = ["PageTable", "render_template"]


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page, for the macro `data_table` of `_tables.html`.

    Attributes
    ----------
    caption
        What stands above it.
    columns
        Headings, and whether the column is aligned on the right.
    rows
        Cells as text, the first of which heads its row.
    left_out
        Rows that are not shown.
    """

    caption: str
    columns: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]
    left_out: int = 0


def render_template(name: str, **values: Any) -> str:  # noqa: ANN401
    """Return a template of the package with values filled in; all text is escaped.

    Parameters
    ----------
    name
        File in `_templates`.
    **values
        What it names; one that is missing is an error. `version` is there by itself.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("flowcast", "_templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return environment.get_template(name).render(version=__version__, **values)
