"""Pages from the package's templates: HTML files that need no network."""

from typing import Any

from flowcast import __version__

__all__ = ["render_template"]


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
