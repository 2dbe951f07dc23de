"""The catalogue of held-out indicators: what others measure, and how estimates are held against it.

The embedded one is ``data/indicators.csv``, beside the registry of sources; a user may add a file
of the same columns. Every entry states where its definition departs from that of the estimates.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from flowcast._source_roles import INDICATOR_FILE
from flowcast.errors import Faults, nearest
from flowcast.resources import embedded_path
from flowcast.sources.readers import READERS
from flowcast.sources.registry import ID, Entries, Registry, load_registry, read_entries
from flowcast.vocabulary import EstimateMeasure

__all__ = [
    "INDICATOR_COLUMNS",
    "KINDS",
    "Catalogue",
    "Indicator",
    "IndicatorKind",
    "Sum",
    "load_catalogue",
]

IndicatorKind = Literal["same", "related", "context"]
Sum = Literal["flow", "pair_sum", "immigration", "emigration", "net", "population_change"]
KINDS: Final[tuple[str, ...]] = get_args(IndicatorKind)
SUMS: Final[tuple[str, ...]] = get_args(Sum)
WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "role": ("heldout", "covariate"),
    "kind": KINDS,
    "estimate": SUMS,
    "window": ("own", "run"),
    "direction": ("positive", "negative"),
    "bound": ("upper",),
    "transform": ("growth", "turned"),
}
ALLOWED: Final[Mapping[str, str]] = {
    **{name: ", ".join(words) for name, words in WORDS.items()},
    "id": "letters, digits, '_', '.' and '-', a letter or digit first",
    "title": "a title",
    "sources": "ids of the registry of sources, separated by spaces",
    "measures": "what it measures, in words",
    "unit": "a unit",
    "years": "years such as 1990-2024 or 1990-, or nothing",
    "reader": "the name of a reader, in small letters, digits and '_', or nothing",
    "options": "options of the reader as name=value, separated by spaces, or nothing",
    "gap": "where its definition departs from that of the estimates, in words",
}


class Indicator(BaseModel):
    """One indicator: what others measure, and what of the estimates is held against it.

    Attributes
    ----------
    id
        What stands in the column `indicator` of its tables.
    role
        ``"heldout"``, or ``"covariate"`` where it is context: no fit takes either.
    kind
        ``"same"``: the same quantity under another definition, compared as levels. ``"related"``:
        another quantity that goes with it, compared by association and never by coverage.
        ``"context"``: for scenarios; not scored.
    title, measures, unit
        What it is called, what it measures, in which unit.
    sources
        Ids in the registry of sources, the main one first. A run that fitted one is not judged.
    estimate
        What is held against it: `flow` of the pair, `pair_sum` (both directions), `immigration`,
        `emigration` or `net` of a place, `population_change` (births less deaths and `net`).
    window
        ``"own"``: the estimates of the indicator's own period. ``"run"``: of all periods of the
        run, for an indicator that gathers what came before.
    direction
        Which way a related quantity is expected to go with the estimates.
    bound
        ``"upper"`` where the estimate should not be below the indicator.
    years
        For which it is published.
    reader, options
        Reader of the publisher's file, and what it is told. Without a reader a table of the
        indicator's own is needed.
    column
        Covariate, or measure of observations, that is taken from what the reader gives. Without it
        all of them: of covariates their mean.
    transform
        ``"growth"``: differences between the dates of a stock. ``"turned"``: the publisher's origin
        is our destination.
    gap
        Where its definition departs from that of the estimates.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=f"^{ID}$")
    role: Literal["heldout", "covariate"]
    kind: IndicatorKind
    title: str = Field(min_length=1)
    sources: tuple[str, ...] = Field(min_length=1)
    measures: str = Field(min_length=1)
    estimate: Sum | None = None
    window: Literal["own", "run"] = "own"
    unit: str = Field(min_length=1)
    direction: Literal["positive", "negative"] | None = None
    bound: Literal["upper"] | None = None
    years: str = Field(default="", pattern=r"^(\d{4}(-(\d{4})?)?)?$")
    reader: str = Field(default="", pattern=r"^([a-z][a-z0-9_]*)?$")
    options: str = Field(default="", pattern=r"^(\w+=\S+( \w+=\S+)*)?$")
    column: str = ""
    transform: Literal["growth", "turned"] | None = None
    gap: str = Field(min_length=1)

    @field_validator("sources", mode="before")
    @classmethod
    def _are_separated_by_spaces(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        context = self.kind == "context"
        for wrong, wanted in (
            (context != (self.role == "covariate"), "the role covariate for context, else heldout"),
            (context != (self.estimate is None), "an estimate, unless the kind is context"),
            ((self.kind == "related") != (self.direction is not None), "a direction if related"),
            (self.kind != "related" and self.bound is not None, "a bound of related ones only"),
            (self.kind == "same" and self.window == "run", "the window own, for the same quantity"),
            (bool(self.options or self.transform) and not self.reader, "a reader to be told that"),
        ):
            if wrong:
                raise ValueError(wanted)
        return self

    @property
    def aggregate(self) -> EstimateMeasure:
        """The measure of the estimates that is added up or read for it."""
        if self.estimate in ("immigration", "emigration", "net"):
            return self.estimate
        return "net" if self.estimate == "population_change" else "flow"

    @property
    def reader_options(self) -> dict[str, str]:
        """Options of the reader by name."""
        return dict(option.split("=", 1) for option in self.options.split())


INDICATOR_COLUMNS: Final[tuple[str, ...]] = tuple(Indicator.model_fields)
NEEDED: Final = tuple(name for name, f in Indicator.model_fields.items() if f.is_required())


class Catalogue(Entries[Indicator]):
    """Indicators by id.

    Examples
    --------
    >>> load_catalogue().entry("connectedness_meta").kind
    'related'
    """

    __slots__ = ()
    WHAT = "indicator"
    ALLOWED = "an id of the catalogue (flowcast indicators list)"

    def select(self, kind: str | None = None) -> tuple[Indicator, ...]:
        """Return the indicators of a kind; None takes all."""
        return tuple(entry for entry in self.entries if kind in (None, entry.kind))


def load_catalogue(path: Path | None = None, *, registry: Path | None = None) -> Catalogue:
    """Load the catalogue of indicators.

    Parameters
    ----------
    path
        A catalogue of your own, with columns of the embedded one; it is added.
    registry
        A registry of your own, with the sources that it names.

    Returns
    -------
    Catalogue

    Raises
    ------
    InputError
        With every fault: row, column, what was found, what is allowed.

    Examples
    --------
    >>> {entry.role for entry in load_catalogue() if entry.kind != "context"}
    {'heldout'}
    """
    sources = load_registry(registry)
    entries = _read(embedded_path("data", INDICATOR_FILE), sources, {})
    if path is None:
        return Catalogue(tuple(entries.values()), f"data/{INDICATOR_FILE}")
    entries |= _read(path, sources, entries)
    return Catalogue(tuple(entries.values()), f"data/{INDICATOR_FILE} and {path}")


def _read(path: Path, registry: Registry, known: Mapping[str, Indicator]) -> dict[str, Indicator]:
    entries = read_entries(path, Indicator, NEEDED, ALLOWED, WORDS)
    faults = Faults(str(path))
    for row, entry in entries.items():
        if entry.id in known or entry.id in registry.ids:
            allowed = "an id that neither the catalogue nor the registry of sources has"
            faults.add(repr(entry.id), allowed, row=row, column="id")
        for source in set(entry.sources) - set(registry.ids):
            hint = nearest(source, registry.ids)
            faults.add(repr(source), ALLOWED["sources"], row=row, column="sources", hint=hint)
        if entry.reader and entry.reader not in READERS:
            hint = nearest(entry.reader, READERS)
            allowed = ", ".join(READERS)
            faults.add(repr(entry.reader), allowed, row=row, column="reader", hint=hint)
    faults.raise_if_any()
    return {entry.id: entry for entry in entries.values()}
