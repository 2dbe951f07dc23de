"""Sphinx configuration of the documentation site."""

from flowcast import __version__

project = "flowcast"
author = "The flowcast authors"
copyright = "2026, The flowcast authors"
release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Pages never run code: notebooks are executed by the tests, and committed without outputs.
nb_execution_mode = "off"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_numpy_docstring = True

html_theme = "furo"
html_title = f"flowcast {release}"
# Templates of pages, and the tables they are made of, are no pages.
exclude_patterns = ["_build", "jupyter_execute", "*.jinja", "tables"]
