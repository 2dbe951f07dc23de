"""Imports go downwards only: ARCHITECTURE.md's layers, checked by reading every module."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "flowcast"

# Lowest first. A unit is a module or a folder directly below flowcast/; a new one is added here
# and in ARCHITECTURE.md, in the layer where it belongs.
COMMAND_LINE = (
    "_command",
    "_outcome",
    "_cli_options",
    "_cli_ages",
    "_cli_stock_draws",
    "_cli_accounting",
    "_cli_displacement",
    "_cli_entries",
    "_cli_explain",
    "_cli_iamc",
    "_cli_indicators",
    "_cli_project",
    "_cli_explore",
    "_cli_publish",
    "_cli_sensitivity",
    "_cli_scenarios",
    "_cli_sources",
    "_cli_table",
    "_cli_validate",
    "cli",
)
LAYERS = (
    (
        "vocabulary",
        "errors",
        "resources",
        "scores",
        "disclosure",
        "_atomic",
        "_hashes",
        "_kept",
        "_lazy",
        "_netcdf",
        "_pages",
        "_yaml",
        "_zarr",
        "_terminal",
        "fanout",
    ),
    (
        "_tabular",
        "_source_roles",
        "definitions",
        "places",
        "_iamc_codes",
        "priors",
        "_measurement",
        "config",
        "posterior",
    ),
    ("_sheet", "_observation_checks", "_covariate_tables", "observations", "covariates"),
    ("sources", "accounting", "model"),
    ("preparation", "trees", "latent_store", "inference"),
    (
        "estimates",
        "_figures",
        "_expectation",
        "_densities",
        "prediction",
        "simulation",
        "_stock_work",
        "stock_flows",
        "_table_text",
        "tables",
        "compare",
        "persistence",
        "iamc",
    ),
    ("calibration", "validation", "scenarios"),
    ("projection",),
    ("displacement",),
    ("plots",),
    ("checking", "_demo_tables", "_demo_page", "demonstration", "scorecard_page"),
    ("publication",),
    (*COMMAND_LINE, "__main__"),
)
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}
STRANGERS = (frozenset({"sources", "model"}), frozenset({"validation", "scenarios"}))

# Who may use a library that is heavy or that ties a module to one purpose.
LIBRARIES = {
    "pymc": ("model", "inference", "scenarios"),
    "pytensor": ("model", "inference", "scenarios"),
    "nutpie": ("model", "inference", "scenarios"),
    "statsmodels": ("validation.baselines", "validation.splits", "scenarios"),
    "sklearn": ("validation.baselines", "validation.splits", "scenarios"),
    "pyfixest": (),
    "matplotlib": ("plots", "publication"),
    "great_tables": ("publication",),
    "dask": ("fanout", "_kept", "projection.store"),
    "distributed": ("fanout",),
    "ema_workbench": ("projection.findings",),
    "SALib": ("projection.designs", "projection.findings"),
    "seaborn": (),
    "pyam": ("iamc",),
    "nomenclature": ("iamc",),
    "typer": COMMAND_LINE,
    "httpx": ("sources",),
    "rich": ("_terminal",),
}

Imported = Iterator[tuple[int, str]]


def modules() -> dict[str, str]:
    """Return the source of every module, by its dotted name below flowcast."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def imported(source: str) -> Imported:
    """Yield line and full name of everything imported, inside functions and for types too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def unit_of(name: str) -> str:
    return name.split(".")[0]


def flowcast_units(source: str) -> Iterator[tuple[int, str]]:
    for line, name in imported(source):
        if unit_of(name) == "flowcast":
            yield line, name.split(".")[1] if "." in name else ""


def direction_faults(module: str, source: str) -> Iterator[str]:
    unit = unit_of(module)
    if unit not in RANK:
        yield f"{module} is in no layer: add it to LAYERS and to ARCHITECTURE.md"
        return
    for line, used in flowcast_units(source):
        where = f"{module}:{line}"
        if used == unit or used == "__version__":
            continue
        if used not in RANK:
            yield f"{where} imports flowcast.{used}, which is in no layer"
        elif RANK[used] > RANK[unit]:
            yield f"{where} imports {used}, which lies above it"
        elif frozenset({used, unit}) in STRANGERS:
            yield f"{where} imports {used}: the two do not see each other"


def library_faults(module: str, source: str) -> Iterator[str]:
    for line, name in imported(source):
        allowed = LIBRARIES.get(unit_of(name))
        if allowed is not None and not any(f"{module}.".startswith(f"{a}.") for a in allowed):
            yield f"{module}:{line} imports {unit_of(name)}; allowed in: {', '.join(allowed)}"


def faults(module: str, source: str) -> list[str]:
    if module == "__init__":  # the façade names everything and imports it on first use only
        return []
    return [*direction_faults(module, source), *library_faults(module, source)]


def cycle(sources: dict[str, str]) -> list[str]:
    """Return one cycle among the units, or nothing."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        if module != "__init__":
            unit = unit_of(module)
            graph.setdefault(unit, set()).update(
                used for _, used in flowcast_units(source) if used in RANK and used != unit
            )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", sorted(modules()))
def test_module_keeps_to_its_layer(module: str) -> None:
    assert faults(module, modules()[module]) == []


def test_units_of_one_layer_do_not_import_each_other_in_a_circle() -> None:
    assert cycle(modules()) == []


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("vocabulary", "from flowcast.errors import Fault\nimport flowcast.cli", "lies above"),
        ("places", "from flowcast.observations import Observations", "lies above"),
        ("places", "def f():\n    from flowcast import estimates", "lies above"),
        ("model.kernel", "import flowcast.inference as i", "lies above"),
        ("model.process", "from flowcast.sources.registry import read", "do not see each other"),
        ("sources.survey", "from flowcast.model import build", "do not see each other"),
        ("scenarios.drivers", "import flowcast.validation.splits", "do not see each other"),
        ("estimates", "if TYPE_CHECKING:\n    from flowcast.plots import plot", "lies above"),
        ("helpers", "import json", "in no layer"),
        ("plots", "from flowcast.helpers import f", "in no layer"),
        ("cli", "from flowcast import estimate", "in no layer"),
        ("cli", "import flowcast", "in no layer"),
        ("estimates", "import pymc as pm", "allowed in: model, inference, scenarios"),
        ("modelling", "import pymc as pm", "allowed in: model, inference, scenarios"),
        ("validation.crossval", "from sklearn.model_selection import KFold", "imports sklearn"),
        ("validation.calibration", "import statsmodels.api as sm", "imports statsmodels"),
        ("estimates", "import matplotlib.pyplot as plt", "allowed in: plots, publication"),
        ("validation.crossval", "from distributed import Client", "allowed in: fanout"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, said: str) -> None:
    assert any(said in fault for fault in faults(module, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("cli", "from flowcast.plots import plot\nfrom flowcast import __version__\nimport typer"),
        ("model.build", "from flowcast.model.process import build\nimport pymc as pm"),
        ("validation.baselines.learners", "from sklearn.ensemble import RandomForestRegressor"),
        ("plots", "import matplotlib.pyplot as plt\nfrom flowcast.vocabulary import DIMS"),
        ("errors", "from difflib import get_close_matches"),
    ],
)
def test_a_permitted_import_passes(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_a_planted_circle_is_found() -> None:
    circle = {
        "places": "from flowcast.config import ModelSpec",
        "config": "from flowcast.persistence import write",
        "persistence": "from flowcast.places import codes",
    }
    assert set(cycle(circle)) == set(circle)
    assert cycle({**circle, "persistence": "import json"}) == []
