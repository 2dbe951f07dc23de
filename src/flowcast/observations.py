"""Observations: the one tidy contract into which every source is turned.

A row is one report: what one source says about one origin and destination (or a total) in one
period. Values are never corrected here; definitions travel as columns for the model.
"""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._hashes import joint_hash
from flowcast._observation_checks import (
    KEY_WORDS,
    MIRROR_KEY,
    build_table,
    find_clashes,
    number_groups,
)
from flowcast._sheet import CodeFix, Mask, TableCodes
from flowcast._source_roles import REGISTRY_FILE, Barred, describe_barred, find_barred, read_roles
from flowcast._tabular import RawTable, raw_from_frame, read_raw
from flowcast.errors import Fault, Faults, HeldOutError, InputError, UsageError
from flowcast.vocabulary import Role

__all__ = ["Observations", "observations_from_frame", "read_observations"]

SMALL_COUNT = 50
"""Counts below this carry little but noise; the summary gives their share."""
CLASHES = ("the same key as", "a period that overlaps")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Observations:
    """Checked observations, with what they came from.

    Made by `read_observations` or `observations_from_frame`, never directly.

    Attributes
    ----------
    name
        Path or name as given.
    role
        ``"fit"`` or ``"held_out"``: held-out observations may judge a model but not inform it.
    sha256
        Hash of the input's bytes.
    codes
        ``"alpha2"``, ``"alpha3"``, or ``"declared"`` (the codes of a user's own places file).
    fixes
        Codes replaced by standard ones: row, column, code found, standard code.
    barred
        Sources that the registry keeps out of every fit, with the rows of the file.
    """

    _table: pd.DataFrame
    name: str
    role: Role
    sha256: str
    codes: TableCodes
    fixes: tuple[CodeFix, ...] = ()
    barred: tuple[Barred, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """The rows, columns as in `vocabulary.OBSERVATION_COLUMNS`.

        `period_start`, `period_end` and `vintage` are datetime64, the numbers are float (NaN:
        unknown), the rest is text. A missing origin or destination is everywhere else. What a
        caller does to the returned frame does not change the observations.
        """
        return self._table.copy(deep=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self._table)

    def __len__(self) -> int:
        return self.n

    @property
    def places(self) -> tuple[str, ...]:
        """Codes (and grouping ids) that occur as origin or destination, sorted."""
        both = pd.concat([self._table["origin"], self._table["destination"]])
        return tuple(sorted(both.dropna().unique()))

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the sources, sorted."""
        return tuple(sorted(self._table["source"].unique()))

    def require_fit(self) -> None:
        """Refuse to go on with held-out observations; every fit calls this first.

        Raises
        ------
        HeldOutError
            If the role is ``"held_out"``, or the registry keeps a source out of fits.
        """
        if self.barred:
            raise HeldOutError(describe_barred(self.name, self.barred))
        if self.role == "held_out":
            raise HeldOutError(
                f"({self.name}) | found held-out observations ({', '.join(self.sources)}); "
                "allowed: only observations with the role 'fit' may enter a fit"
            )

    def coverage(self) -> pd.DataFrame:
        """Summarise what is reported, by measure and period.

        Returns
        -------
        pandas.DataFrame
            One row per `measure`, `period_start`, `period_end`: `n_places`; `n_rows`, of which
            by reporter `n_by_origin`, `n_by_destination`, `n_by_other`; `n_totals` (one side
            empty); ordered pairs of different places by the number of sides that report them,
            `n_pairs_both`, `n_pairs_one`, `n_pairs_none`; `n_mirrored` rows; `n_zero` rows; and
            `share_below_50`, the share of rows whose value is below 50.
        """
        keys = ["measure", "period_start", "period_end"]
        rows = [
            {**dict(zip(keys, key, strict=True)), **_summarise(group)}
            for key, group in self._table.groupby(keys)
        ]
        return pd.DataFrame(rows)

    def split(self, fraction: float, seed: int) -> tuple["Observations", "Observations"]:
        """Split into a part to fit and a part held out, at random by row.

        Rows that tell the same figure (see `units`) stay on the same side; otherwise a held-out
        figure would still inform the fit.

        Parameters
        ----------
        fraction
            Share of rows to hold out, between 0 and 1.
        seed
            Seed of the random choice.

        Returns
        -------
        fit, held_out : Observations
            In the order of the table; the second has the role ``"held_out"``.

        Raises
        ------
        HeldOutError
            If these observations are held out already.
        UsageError
            If the fraction leaves one part without rows.
        """
        self.require_fit()
        target = round(fraction * self.n) if 0 < fraction < 1 else 0
        if not 0 < target < self.n:
            raise UsageError(
                f"(split) | found fraction {fraction} of {self.n} rows; "
                "allowed: a share between 0 and 1 that leaves rows on both sides"
            )
        return self.divide(self._choose(target, seed), f"{fraction:.3g}, seed {seed}")

    def divide(self, held: Mask, label: str) -> tuple["Observations", "Observations"]:
        """Divide into a part to fit and a part held out, by a mask.

        Parameters
        ----------
        held
            Which rows are held out, shape (row,).
        label
            What the parts' names say of them.

        Returns
        -------
        fit, held_out : Observations
            In the order of the table; the second has the role ``"held_out"``.

        Raises
        ------
        HeldOutError
            If these observations are held out already.
        """
        self.require_fit()
        return (
            self._part(~held, f"{self.name} [all but {label}]", "fit"),
            self._part(held, f"{self.name} [held out {label}]", "held_out"),
        )

    def select(self, rows: Mask) -> "Observations":
        """Return some of the rows, by a mask of shape (row,), in the same role."""
        return self._part(rows, self.name, self.role)

    def units(self) -> NDArray[np.int64]:
        """Return a number for each row, equal where rows tell the same figure, shape (row,).

        These are the vintages of a report and what one side says of a figure in several sources of
        a family; and all rows about a figure that one side repeats from the other (`mirror_of`).
        """
        figure = number_groups(self._table, MIRROR_KEY)
        report = number_groups(self._table, [*MIRROR_KEY, "reporter", "family"])
        linked = np.isin(figure, figure[self._table["mirror_of"].notna().to_numpy()])
        return np.where(linked, figure, figure.max() + 1 + report).astype(np.int64)

    def _choose(self, target: int, seed: int) -> Mask:
        """Return a mask of about `target` rows, rows of one figure together."""
        units, position = np.unique(self.units(), return_inverse=True)
        order = np.random.default_rng(seed).permutation(len(units))
        rank = np.empty(len(units), dtype=np.int64)
        rank[order] = np.arange(len(units))
        by_rank = np.bincount(rank[position], minlength=len(units)).cumsum()
        last = int(np.searchsorted(by_rank, target))
        return np.asarray(rank[position] <= last)

    def _part(self, mask: Mask, name: str, role: Role) -> "Observations":
        table = self._table[mask].reset_index(drop=True)
        left = set(table["source"])
        barred = tuple(one for one in self.barred if one.source in left)
        return replace(self, _table=table, name=name, role=role, barred=barred)

    def concat(self, *others: "Observations") -> "Observations":
        """Join with other observations of the same role and kind of codes.

        Returns
        -------
        Observations
            `sha256` is the hash of the parts' hashes.

        Raises
        ------
        UsageError
            If roles or kinds of codes differ.
        InputError
            If a key occurs in two parts, or periods of one key overlap.
        """
        parts = (self, *others)
        for trait in ("role", "codes"):
            found = list(dict.fromkeys(getattr(p, trait) for p in parts))
            if len(found) > 1:
                raise UsageError(f"(concat) | found {trait} {' and '.join(found)}; allowed: one")
        table = pd.concat([p._table for p in parts], ignore_index=True)
        names = np.repeat([p.name for p in parts], [p.n for p in parts])
        faults = [
            Fault(str(names[i]), f"{what} one in {names[j]}: {_describe(table, i)}", KEY_WORDS)
            for clashes, what in zip(find_clashes(table), CLASHES, strict=True)
            for i, j in clashes
        ]
        if faults:
            raise InputError(faults)
        digest = joint_hash(p.sha256 for p in parts)
        fixes = tuple(fix for p in parts for fix in p.fixes)
        barred = tuple(one for p in parts for one in p.barred)
        name = " + ".join(p.name for p in parts)
        return replace(self, _table=table, name=name, sha256=digest, fixes=fixes, barred=barred)

    def __repr__(self) -> str:
        first = self._table["period_start"].min()
        last = self._table["period_end"].max() - pd.Timedelta(days=1)
        span = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return (
            f"Observations({self.name}: {self.n} rows, {len(self.places)} places, {span}, "
            f"{', '.join(sorted(self._table['measure'].unique()))}; "
            f"sources {', '.join(self.sources)}; role {self.role})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{_escape(repr(self))}</p>{self.coverage().to_html(index=False)}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _describe(table: pd.DataFrame, row: int) -> str:
    cells = table.loc[row, ["source", "measure", "origin", "destination", "reporter"]]
    return ", ".join(f"{name} {value}" for name, value in cells.dropna().items())


def _summarise(rows: pd.DataFrame) -> dict[str, float]:
    """Return the figures of one line of the coverage table."""
    places = pd.unique(pd.concat([rows["origin"], rows["destination"]]).dropna())
    whole = rows["origin"].notna() & rows["destination"].notna()
    sides = rows[whole & rows["reporter"].isin(["origin", "destination"])]
    n_sides = sides.groupby(["origin", "destination"])["reporter"].nunique()
    by = rows["reporter"].value_counts()
    return {
        "n_places": len(places),
        "n_rows": len(rows),
        **{f"n_by_{side}": int(by.get(side, 0)) for side in ("origin", "destination", "other")},
        "n_totals": int((~whole).sum()),
        "n_pairs_both": int((n_sides == 2).sum()),
        "n_pairs_one": int((n_sides == 1).sum()),
        "n_pairs_none": len(places) * (len(places) - 1) - len(n_sides),
        "n_mirrored": int(rows["mirror_of"].notna().sum()),
        "n_zero": int((rows["value"] == 0).sum()),
        "share_below_50": float((rows["value"] < SMALL_COUNT).mean()),
    }


def read_observations(
    path: str | os.PathLike[str],
    *,
    role: Role = "fit",
    declared_places: Collection[str] | None = None,
    registry: Path | None = None,
) -> Observations:
    """Read and check a file of observations.

    Parameters
    ----------
    path
        CSV (also ``.csv.gz``), Parquet or Excel, with the columns of the observation contract.
        Rows are persons per period; `year` alone becomes the half-open calendar year; an empty
        origin or destination is everywhere else; `criterion` defaults to ``residence``.
    role
        ``"held_out"`` for a source that may judge a model but not inform it.
    declared_places
        Codes of your own places file. They are taken as they are, instead of ISO 3166.
    registry
        Your own registry of sources; a ``sources.csv`` beside the file counts too. A file of
        nothing but held-out sources is held out itself.

    Returns
    -------
    Observations

    Raises
    ------
    InputError
        With every fault of the file: row, column, what was found, what is allowed.

    Examples
    --------
    >>> from flowcast.resources import embedded_path
    >>> read_observations(embedded_path("data", "europe_2024", "observations.csv")).n
    517
    """
    name = os.fspath(path)
    faults = Faults(name)
    raw = read_raw(Path(name), faults)
    beside = Path(name).with_name(REGISTRY_FILE)
    own = [*([registry] if registry else []), *([beside] if beside.is_file() else [])]
    return _build(raw, faults, role, declared_places, own)


def observations_from_frame(
    frame: pd.DataFrame,
    *,
    name: str = "data frame",
    role: Role = "fit",
    declared_places: Collection[str] | None = None,
    registry: Path | None = None,
) -> Observations:
    """Check a DataFrame in the form of the observation contract; its first row counts as row 2.

    Parameters
    ----------
    frame
        Rows as in an observation file; numbers and dates may be typed or text.
    name
        What messages call it.
    role, declared_places, registry
        As for `read_observations`; there is no file for a registry to lie beside.

    Raises
    ------
    InputError
        With every fault of the frame.

    Examples
    --------
    >>> import pandas as pd
    >>> report = {"source": "mine", "family": "survey", "measure": "flow", "origin": "DE",
    ...           "destination": "FR", "year": 2024, "value": 12, "reporter": "destination"}
    >>> observations_from_frame(pd.DataFrame([report])).table["period_end"].dt.year.tolist()
    [2025]
    """
    faults = Faults(name)
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    raw = raw_from_frame(frame, faults, sha256=digest)
    if raw.frame.empty:
        faults.add("a table without rows", "at least one row")
        faults.raise_if_any()
    return _build(raw, faults, role, declared_places, [registry] if registry else [])


def _build(
    raw: RawTable, faults: Faults, role: Role, declared: Collection[str] | None, own: list[Path]
) -> Observations:
    table, codes, fixes = build_table(raw, faults, declared=declared)
    faults.raise_if_any()
    barred = find_barred(table["source"], raw.rows, read_roles(*own))
    held = {one.source for one in barred if one.role == "heldout"}
    role = "held_out" if held == set(table["source"]) else role
    return Observations(table, faults.where, role, raw.sha256, codes, fixes, barred)
