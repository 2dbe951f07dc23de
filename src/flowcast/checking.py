"""Checking files before anything is computed: what a path is, and every fault in it.

A table is told by its columns, a model or a scenario by its keys, a run by its manifest. A folder
stands for what lies in it; a model for the data files it names too, a scenario for the scenarios it
builds on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
from pydantic import BaseModel

from flowcast._tabular import SUFFIXES, read_raw
from flowcast._yaml import load_yaml
from flowcast.accounting import read_stocks, read_vital_events
from flowcast.config import ModelSpec, read_model
from flowcast.covariates import read_covariates
from flowcast.errors import Fault, Faults, InputError, nearest
from flowcast.observations import read_observations
from flowcast.persistence import check_run, is_run, read_run
from flowcast.posterior import Posterior
from flowcast.resources import embedded_names, embedded_path
from flowcast.scenarios import needed_files, read_scenario, scenario_names

__all__ = [
    "Checked",
    "Kind",
    "check_inputs",
    "check_path",
    "check_paths",
    "place_codes",
]

Kind = Literal[
    "observations",
    "places",
    "corridors",
    "stocks",
    "vital events",
    "qualities of places",
    "errors of stocks",
    "alternatives",
    "model",
    "scenario",
    "run",
    "folder",
    "unknown",
]

REPORT_COLUMNS: Final = frozenset({"source", "measure", "family", "reporter"})
"""Two of them, or `value`, make a table one of observations, whatever else is misspelt."""
PLACE_COLUMNS: Final = frozenset({"place", "country", "iso3", "iso2"})
CORRIDOR_COLUMNS: Final = frozenset({"origin", "destination"})
STOCK_COLUMNS: Final = frozenset({"birthplace", "residence"})
VITAL_COLUMNS: Final = frozenset({"births", "deaths"})
QUALITY_COLUMNS: Final = frozenset({"quality", "coverage", "vintage"})
MODEL_SUFFIXES: Final = (".yaml", ".yml")
TABLES_WANTED: Final = (
    "columns of observations (source, family, measure, origin, destination, year, value, "
    "reporter), of places (place, ...), of corridors (origin, destination, ...), of stocks "
    "(birthplace, residence, stock) or of vital events (place, births, deaths)"
)


@dataclass(frozen=True, slots=True)
class Checked:
    """One file that was checked.

    Attributes
    ----------
    path
        As the user named it, or the path of a file found in a folder or named by a model.
    kind
        What it was taken for.
    summary
        What is in it, in a few words; empty where it has faults.
    faults
        Everything that is wrong with it.
    """

    path: str
    kind: Kind
    summary: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def passed(self) -> bool:
        """True if nothing is wrong."""
        return not self.faults


def check_paths(paths: Iterable[str | Path]) -> list[Checked]:
    """Check several paths; a file that several of them mean is checked once.

    Parameters
    ----------
    paths
        As for `check_path`.

    Returns
    -------
    list of Checked
        In the order given.
    """
    found: dict[tuple[str, Kind], Checked] = {}
    for path in paths:
        for checked in check_path(path):
            found.setdefault((str(Path(checked.path).resolve()), checked.kind), checked)
    return list(found.values())


def check_path(path: str | Path) -> list[Checked]:
    """Decide what a path is, and check it.

    Parameters
    ----------
    path
        A table of observations, places, corridors, stocks, vital events or qualities of places; a
        model (its YAML file, its folder, or the name of an embedded one); a scenario (its YAML file
        or the name of an embedded one); a YAML file of errors of stocks; a run folder; or any
        folder that holds such files.

    Returns
    -------
    list of Checked
        One for each file; a model is followed by the data files it names.

    Examples
    --------
    >>> from flowcast.resources import embedded_path
    >>> places = embedded_path("data", "europe_2024", "places.csv")
    >>> [(checked.kind, checked.passed) for checked in check_path(places)]
    [('places', True)]
    """
    place = Path(path)
    if place.suffix in MODEL_SUFFIXES and place.is_file():
        return _check_yaml(place)
    if place.is_file() or place.name.endswith(SUFFIXES):
        return [_check_table(place)]
    if place.is_dir():
        return _check_folder(place)
    models, scenarios = embedded_names("models"), scenario_names()
    if str(path) in models:
        return check_inputs(embedded_path("models", str(path), "model.yaml"))
    if str(path) in scenarios:
        return [_attempt(str(path), "scenario", lambda: _summarise_scenario(path))]
    beside = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
    hint = nearest(place.name, [*beside, *models, *scenarios]) or ""
    allowed = "a table, a model, a scenario or a folder"
    fault = Fault(str(path), "no such file or folder", allowed, hint=hint)
    return [Checked(str(path), "unknown", faults=(fault,))]


def _attempt(path: Path | str, kind: Kind, summarise: Callable[[], str]) -> Checked:
    try:
        return Checked(str(path), kind, summarise())
    except InputError as error:
        return Checked(str(path), kind, faults=error.faults)


def _check_folder(folder: Path) -> list[Checked]:
    if (folder / "manifest.json").is_file():
        return [_attempt(folder, "run", lambda: _summarise_run(folder))]
    if (folder / "model.yaml").is_file():
        return check_inputs(folder / "model.yaml")
    found: list[Checked] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith(".columns.csv"):
            continue
        if path.is_dir():
            if is_run(path) or (path / "model.yaml").is_file():
                found += _check_folder(path)
        elif path.suffix in MODEL_SUFFIXES:
            found += _check_yaml(path)
        elif path.name.endswith(SUFFIXES) and (checked := _check_table(path)).kind != "unknown":
            found.append(checked)
    if found:
        return found
    fault = Fault(str(folder), "no table, model or run", "a folder that holds one")
    return [Checked(str(folder), "folder", faults=(fault,))]


def _check_table(path: Path, codes: str | frozenset[str] | None = None) -> Checked:
    """Check a table; `codes` are the codes a model declares, or ``"any"`` for its places file."""
    try:
        frame = read_raw(path, Faults(str(path)), unnamed="birthplace").frame
    except InputError as error:
        return Checked(str(path), "unknown", faults=error.faults)
    columns = {str(name).casefold() for name in frame.columns}
    if "value" in columns or len(columns & REPORT_COLUMNS) > 1:
        return _check_as(path, "observations", codes)
    if columns & STOCK_COLUMNS or _is_square(frame):
        return _attempt(path, "stocks", lambda: _summarise_stocks(path))
    if columns & PLACE_COLUMNS and columns & QUALITY_COLUMNS:
        return _attempt(path, "qualities of places", lambda: _summarise_qualities(path))
    if columns & VITAL_COLUMNS and len(columns) <= 1 + len(VITAL_COLUMNS):
        wanted = sorted(columns & VITAL_COLUMNS) if len(columns) == 2 else sorted(VITAL_COLUMNS)
        return _attempt(path, "vital events", lambda: _summarise_vital(path, wanted))
    if columns >= CORRIDOR_COLUMNS:
        return _check_as(path, "corridors", codes)
    if columns & PLACE_COLUMNS:
        return _check_as(path, "places", codes)
    fault = Fault(str(path), f"columns {', '.join(sorted(columns))}", TABLES_WANTED, row=1)
    return Checked(str(path), "unknown", faults=(fault,))


def _is_square(frame: pd.DataFrame) -> bool:
    """Return whether a table is a matrix of places: most columns have a row of their name too."""
    first, *columns = map(str, frame.columns)
    labels = set(frame.iloc[:, 0].astype("str"))
    return first not in CORRIDOR_COLUMNS and sum(c in labels for c in columns) > len(columns) / 2


def _check_as(path: Path, kind: Kind, codes: frozenset[str] | str | None) -> Checked:
    declared = codes if isinstance(codes, frozenset) else None
    loose = "any" if codes == "any" else declared
    readers: dict[str, Callable[[], str]] = {
        "observations": lambda: _summarise_observations(path, declared),
        "places": lambda: _summarise_covariates(places=path, declared=loose),
        "corridors": lambda: _summarise_covariates(corridors=path, declared=loose),
    }
    return _attempt(path, kind, readers[kind])


def _check_yaml(path: Path) -> list[Checked]:
    """Check a YAML file: alternatives, errors of stocks, a scenario by its keys; else a model."""
    from flowcast.accounting.stock_errors import StockErrors, read_stock_errors
    from flowcast.scenarios import Scenario

    try:
        keys = {str(key) for key in load_yaml(path)}
    except InputError as error:
        return [Checked(str(path), "unknown", faults=error.faults)]
    if "alternatives" in keys:
        from flowcast.validation.named import read_alternatives

        return [_attempt(path, "alternatives", lambda: ", ".join(read_alternatives(path)))]
    as_model = _alike(keys, ModelSpec)
    if _alike(keys, Scenario) > max(as_model, _alike(keys, StockErrors)):
        return [_attempt(path, "scenario", lambda: _summarise_scenario(path))]
    if "name" in keys or not keys or as_model >= _alike(keys, StockErrors):
        return check_inputs(path)

    def summarise() -> str:
        errors = read_stock_errors(path)
        return f"{errors.quality} quality; {len(errors.places)} places of their own"

    return [_attempt(path, "errors of stocks", summarise)]


def _alike(keys: Iterable[str], model: type[BaseModel]) -> int:
    """Return how many keys a model has, twice those it has letter by letter."""
    fields = list(model.model_fields)
    return sum(2 if key in fields else nearest(key, fields) is not None for key in keys)


def check_inputs(
    model: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    observations: Sequence[str | Path] = (),
    places: str | Path | None = None,
    corridors: str | Path | None = None,
) -> list[Checked]:
    """Check a model with overrides, and the data files it names or those given instead.

    Parameters
    ----------
    model, overrides
        As for `read_model`.
    observations, places, corridors
        Files instead of the model's.

    Returns
    -------
    list of Checked
        The model first. Where it has faults, nothing else is checked: it might declare codes.

    Examples
    --------
    >>> [checked.kind for checked in check_inputs("europe_2024", {"sampler.darws": 10})]
    ['model']
    """
    try:
        spec = read_model(model, overrides)
    except InputError as error:
        return [Checked(str(model), "model", faults=error.faults)]
    n_terms = len(spec.process.covariates)
    found = [Checked(str(model), "model", f"{spec.name}: {n_terms} covariates in the process")]
    codes: str | frozenset[str] | None = "any" if spec.codes == "declared" else None
    covariates: dict[Kind, Path | None] = {
        "places": _file(spec, places, spec.data.places),
        "corridors": _file(spec, corridors, spec.data.corridors),
    }
    for kind, file in covariates.items():
        if file is not None:
            found.append(_check_as(file, kind, codes))
            if codes == "any" and found[-1].passed:
                codes = _declared(file, kind)
    if codes == "any":  # the file that declares them is missing or has faults
        return found
    reports = [Path(path) for path in observations]
    named = [spec.data_path(name) for name in spec.data.observations]
    return found + [_check_as(file, "observations", codes) for file in reports or named]


def _file(spec: ModelSpec, given: str | Path | None, named: str | None) -> Path | None:
    if given is not None:
        return Path(given)
    return spec.data_path(named) if named else None


def place_codes(posterior: Posterior) -> frozenset[str] | None:
    """Return the codes of a posterior's places if its model declared them, None if they are ISO."""
    if posterior.spec.codes == "iso":
        return None
    ends = [posterior.log_flow[side].values for side in ("origin", "destination")]
    return frozenset(str(code) for side in ends for code in side)


def _declared(file: Path, kind: Kind) -> frozenset[str]:
    """Return the codes that a file of places, or for want of one of corridors, declares."""
    sides = (file, None) if kind == "places" else (None, file)
    data = read_covariates(*sides, declared_places="any")
    dims = [name for name in ("place", "origin", "destination") if name in data.coords]
    return frozenset(str(code) for name in dims for code in data[name].to_numpy())


def _summarise_observations(path: Path, declared: frozenset[str] | None) -> str:
    observations = read_observations(path, declared_places=declared)
    lines = observations.coverage()
    measures = ", ".join(lines["measure"].unique())
    fixes = len(observations.fixes)
    fixed = f"; {fixes} codes replaced by standard ones" if fixes else ""
    return f"{observations.n} rows, {len(observations.places)} places, {measures}{fixed}"


def _summarise_covariates(
    *,
    places: Path | None = None,
    corridors: Path | None = None,
    declared: frozenset[str] | str | None,
) -> str:
    data = read_covariates(places, corridors, declared_places=declared)
    sizes = ", ".join(f"{size} {name}s" for name, size in data.sizes.items())
    unknown = [str(n) for n, v in data.data_vars.items() if v.attrs["units"] == "unknown unit"]
    units = f"; no unit for {', '.join(unknown)}" if unknown else ""
    return f"{sizes}; {len(data.data_vars)} covariates{units}"


def _summarise_stocks(path: Path) -> str:
    stocks = read_stocks(path, native_born=False)
    values = stocks.to_numpy()
    n, n_native = len(values), int((values.diagonal() > 0.0).sum())
    native = "every place" if n_native == n else f"{n_native} of them"
    pairs = int((values > 0.0).sum()) - n_native
    return f"{n} places, {pairs} groups of foreign-born, native-born of {native}"


def _summarise_vital(path: Path, columns: Sequence[str]) -> str:
    events = read_vital_events(path, columns)
    return f"{events.sizes['place']} places, {' and '.join(map(str, events.data_vars))}"


def _summarise_qualities(path: Path) -> str:
    from flowcast.accounting.stock_errors import read_place_qualities

    return f"{len(read_place_qualities(path))} places"


def _summarise_scenario(path: str | Path) -> str:
    spec = read_scenario(path).spec
    files = needed_files(spec)
    needs = f"; needs {', '.join(files)}" if files else ""
    return f"{spec.name}: {len(spec.drivers)} changes, {len(spec.shocks)} shocks{needs}"


def _summarise_run(folder: Path) -> str:
    check_run(folder)
    posterior = read_run(folder)
    return f"model {posterior.spec.name}, gate {posterior.gate}"
