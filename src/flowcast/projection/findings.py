"""What the cases of a design say: which inputs matter, and where the cases of interest lie.

Both take a table of inputs and one number a case, wherever it comes from. The intervals here are
bootstrap confidence intervals of indices: they say how well so many cases tell them.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flowcast.errors import UsageError
from flowcast.projection.designs import LEVELS, Design, problem_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

__all__ = ["Discovery", "discover", "sensitivity_of"]

RESAMPLES: Final = 500
KIND: Final = "bootstrap"
TOO_WIDE: Final = 0.1
"""Half the width of an interval, as a share of the variance (of the largest effect for Morris),
from which on there are too few cases to order inputs by."""
SIGNIFICANT: Final = 0.05
FEW: Final = 20
"""Cases of interest below which a box rests on too little."""


# Sensitivity


def sensitivity_of(design: Design, values: "ArrayLike", *, prob: float = 0.95) -> "pd.DataFrame":
    """Return how much each input has to do with an outcome.

    Parameters
    ----------
    design
        By the method ``"sobol"`` or ``"morris"``.
    values
        The outcome of each case, shape (case,).
    prob
        Of the bootstrap confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row an input and index: `input, index, value, lower, upper, prob, kind`.

        Sobol' indices are shares of the variance between cases (Saltelli and others 2010, doi
        10.1016/j.cpc.2009.09.018): `first_order` that of the input alone, `total` with all it does
        together with others.

        Morris' (1991, Factorial sampling plans for preliminary computational experiments) are
        effects in the outcome's unit of going through an input's whole range: their mean `mu`, the
        mean of their size `mu_star`, and `sigma`, their spread, which is large where the effect
        is not linear or hangs on other inputs. Only `mu_star` has an interval.

        ``attrs["notes"]`` says so if there are too few cases; ``attrs["enough"]`` is then False.

    Raises
    ------
    UsageError
        If the design has no indices, or the values are not one finite number a case.

    Examples
    --------
    >>> from flowcast.projection.designs import make_design
    >>> from flowcast.scenarios.distributions import Distribution
    >>> ranges = {name: Distribution.make("uniform", [0, 1]) for name in ("a", "b")}
    >>> design = make_design(ranges, "sobol", 4096)
    >>> table = sensitivity_of(design, 2.0 * design.inputs["a"] + design.inputs["b"])
    >>> table[table["index"] == "total"]["value"].round(1).tolist()
    [0.8, 0.2]
    """
    numbers = _numbers(values, len(design.inputs))
    if design.method == "latin":
        raise UsageError("(method) | found latin; allowed: sobol, morris")
    if np.ptp(numbers) == 0.0:
        rows = [(name, index, 0.0, math.nan, math.nan) for name, index in _empty(design)]
        return _table(rows, prob, ("The outcome is the same in every case.",), enough=True)
    analyse = _sobol if design.method == "sobol" else _morris
    rows, width = analyse(design, numbers, prob)
    if width <= TOO_WIDE:
        return _table(rows, prob, (), enough=True)
    n = len(numbers)
    # Intervals shrink with the root of the number of cases.
    wanted = math.ceil(n * (width / TOO_WIDE) ** 2 / 100) * 100
    what = "of the variance" if design.method == "sobol" else "of the largest effect"
    note = (
        f"Too few cases: with {n} an index may be off by {width:.2f} {what} "
        f"({prob:.0%} interval); about {wanted} would tell it to {TOO_WIDE:g}."
    )
    return _table(rows, prob, (note,), enough=False)


type _Row = tuple[str, str, float, float, float]


def _numbers(values: "ArrayLike", n: int) -> "NDArray[np.float64]":
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (n,) or not np.isfinite(numbers).all():
        raise UsageError(f"(values) | found shape {numbers.shape}; allowed: {n} finite numbers")
    return numbers


def _empty(design: Design) -> Iterator[tuple[str, str]]:
    indices = ("first_order", "total") if design.method == "sobol" else ("mu", "mu_star", "sigma")
    yield from ((str(name), index) for name in design.inputs for index in indices)


def _sobol(design: Design, numbers: "NDArray[np.float64]", prob: float) -> tuple[list[_Row], float]:
    from SALib.analyze import sobol

    names = list(map(str, design.inputs))
    # A seed of 0 would be none to SALib.
    found = sobol.analyze(
        problem_of(len(names)), numbers, calc_second_order=False, num_resamples=RESAMPLES,
        conf_level=prob, seed=design.seed + 1,
    )  # fmt: skip
    rows = []
    for k, name in enumerate(names):
        for index, key in (("first_order", "S1"), ("total", "ST")):
            value, half = float(found[key][k]), float(found[f"{key}_conf"][k])
            rows.append((name, index, value, value - half, value + half))
    return rows, float(max(found["S1_conf"].max(), found["ST_conf"].max()))


def _morris(
    design: Design, numbers: "NDArray[np.float64]", prob: float
) -> tuple[list[_Row], float]:
    from SALib.analyze import morris

    names = list(map(str, design.inputs))
    found = morris.analyze(
        problem_of(len(names)), design.levels, numbers, num_resamples=RESAMPLES,
        conf_level=prob, num_levels=LEVELS, seed=design.seed,
    )  # fmt: skip
    rows = []
    for k, name in enumerate(names):
        star, half = float(found["mu_star"][k]), float(found["mu_star_conf"][k])
        rows.append((name, "mu", float(found["mu"][k]), math.nan, math.nan))
        rows.append((name, "mu_star", star, star - half, star + half))
        rows.append((name, "sigma", float(found["sigma"][k]), math.nan, math.nan))
    largest = float(np.max(found["mu_star"]))
    return rows, float(np.max(found["mu_star_conf"])) / largest


def _table(
    rows: Sequence[_Row], prob: float, notes: tuple[str, ...], *, enough: bool
) -> "pd.DataFrame":
    import pandas as pd

    table = pd.DataFrame(rows, columns=["input", "index", "value", "lower", "upper"])
    table = table.assign(prob=prob, kind=KIND)
    table.attrs |= {"notes": notes, "enough": enough}
    return table


# Discovery


@dataclass(frozen=True, slots=True, eq=False)
class Discovery:
    """Where the cases of interest lie.

    Attributes
    ----------
    boxes
        One row a box and input that it restricts: `box`, `input`, `lower` and `upper` (NaN where
        it has no bound), `qp_lower` and `qp_upper` (quasi-p-values: the chance of so many cases of
        interest if the bound meant nothing), and of the box `coverage` (part of the cases of
        interest that lie in it), `density` (part of its cases that are of interest), `mass` (part
        of all cases), `n_case` and `n_hit`.
    trajectory
        Every box on the way, one row each: `box, step, coverage, density, mass, restricted,
        chosen`. With more bounds density rises and coverage falls; another choice may suit better.
    text
        The same in words.
    """

    boxes: "pd.DataFrame"
    trajectory: "pd.DataFrame"
    text: str


def discover(
    inputs: "pd.DataFrame",
    values: "ArrayLike",
    above: float,
    *,
    what: str = "the outcome",
    boxes: int = 2,
    smallest: float = 0.05,
) -> Discovery:
    """Return what the cases have in common whose outcome is above a threshold.

    Boxes are found by the patient rule induction method (Friedman and Fisher 1999, Bump hunting in
    high-dimensional data) as scenario discovery uses it (Bryant and Lempert 2010, Thinking inside
    the box), in ema-workbench. Of the boxes on its way the one is chosen whose coverage and density
    have the highest harmonic mean, among those all of whose bounds have quasi-p-values up to 0.05.

    Parameters
    ----------
    inputs
        One row a case, one column an input, as `Design.inputs`.
    values
        The outcome of each case, shape (case,).
    above
        Cases of interest are those above it.
    what
        What the text calls the outcome.
    boxes
        How many to look for at most, each among the cases that are in none before it.
    smallest
        Part of all cases that a box has at least.

    Raises
    ------
    UsageError
        If the values are not one finite number a case.

    Notes
    -----
    The bounds were searched for in the same cases, so that quasi-p-values are smaller than they
    should be: they tell bounds from each other, and prove none.
    """
    numbers = _numbers(values, len(inputs))
    hit = numbers > above
    head = f"{what} is above {above:,.10g} in {hit.sum()} of {len(hit)} cases ({hit.mean():.0%})."
    if hit.all() or not hit.any():
        return Discovery(*_no_boxes(), f"{head} There is nothing to tell apart.")
    rows, steps, told = [], [], [head]
    for number, (found, chosen) in enumerate(_find_boxes(inputs, hit, boxes, smallest), 1):
        steps += [
            {"box": number, "step": k, **step.figures, "chosen": k == chosen}
            for k, step in enumerate(found)
        ]
        if chosen is not None:
            rows += [{"box": number, **row} for row in found[chosen].rows]
            told.append(_in_words(found[chosen], first=number == 1))
    if not rows:
        told.append("No range of the inputs tells these cases from the others.")
    if hit.sum() < FEW:
        told.append(f"So few cases of interest (under {FEW}) tell little; try more cases.")
    empty = _no_boxes()
    tables = (_frame(rows, empty[0]), _frame(steps, empty[1]))
    return Discovery(*tables, " ".join(told))


@dataclass(frozen=True, slots=True)
class _Step:
    """A box on the way: what it is like, and a row for each input that it restricts."""

    figures: dict[str, Any]
    rows: tuple[dict[str, Any], ...]

    @property
    def balance(self) -> float:
        """Harmonic mean of coverage and density."""
        coverage, density = self.figures["coverage"], self.figures["density"]
        return float(2.0 * coverage * density / (coverage + density)) if coverage else 0.0

    @property
    def holds(self) -> bool:
        """Whether it restricts something, and every bound seems to mean something."""
        levels = [row[key] for row in self.rows for key in ("qp_lower", "qp_upper")]
        return bool(self.rows) and not any(level > SIGNIFICANT for level in levels)


def _find_boxes(
    inputs: "pd.DataFrame", hit: "NDArray[np.bool_]", boxes: int, smallest: float
) -> Iterator[tuple[list[_Step], int | None]]:
    """Yield the way to one box after the other, and which step is chosen, until none is."""
    names = list(map(str, inputs))
    # PRIM takes a column named scenario for something else.
    plain = inputs.astype(np.float64).set_axis([f"x{k}" for k in range(len(names))], axis=1)
    with _quiet():
        from ema_workbench.analysis.prim import Prim

        search = Prim(plain, hit, mass_min=smallest)
    for _ in range(boxes):
        with _quiet():
            found = search.find_box()
        if found is None:
            return
        steps = [_step(found, k, names) for k in range(len(found.box_lims))]
        chosen = _choose(steps)
        yield steps, chosen
        if chosen is None:
            return
        # The next is looked for outside the box that is chosen, not outside the smallest.
        found.select(chosen)


def _step(found: Any, at: int, names: list[str]) -> _Step:  # noqa: ANN401  # it has no types
    """Return one box of a trajectory."""
    figures = found.peeling_trajectory.iloc[at]
    shown = {key: float(figures[key]) for key in ("coverage", "density", "mass")}
    counts = {"n_case": int(figures["n"]), "n_hit": int(figures["k"])}
    rows = []
    for key, levels in found.p_values[at].items():
        low, high = (None if level < 0.0 else float(level) for level in levels)
        limits = found.box_lims[at][key]
        rows.append(
            {
                "input": names[int(key[1:])],
                "lower": math.nan if low is None else float(limits.iloc[0]),
                "upper": math.nan if high is None else float(limits.iloc[1]),
                "qp_lower": math.nan if low is None else low,
                "qp_upper": math.nan if high is None else high,
                **shown,
                **counts,
            }
        )
    return _Step({**shown, "restricted": len(rows)}, tuple(rows))


def _choose(steps: Sequence[_Step]) -> int | None:
    able = [k for k, step in enumerate(steps) if step.holds]
    return max(able, key=lambda k: steps[k].balance) if able else None


def _in_words(step: _Step, *, first: bool) -> str:
    bounds = " and ".join(_bound(row) for row in step.rows)
    row = step.rows[0]
    start = "Most typically" if first else "Of the rest, most typically"
    return (
        f"{start}, {bounds}: {row['density']:.0%} of the cases there are above it "
        f"({row['n_hit']} of {row['n_case']}), which are {row['coverage']:.0%} of all that are."
    )


def _bound(row: dict[str, Any]) -> str:
    name, lower, upper = row["input"], row["lower"], row["upper"]
    if math.isnan(upper):
        return f"{name} is at least {lower:.3g}"
    if math.isnan(lower):
        return f"{name} is at most {upper:.3g}"
    return f"{name} is between {lower:.3g} and {upper:.3g}"


def _no_boxes() -> "tuple[pd.DataFrame, pd.DataFrame]":
    """Return both tables without a row."""
    import pandas as pd

    shown = ["coverage", "density", "mass"]
    bounds = ["box", "input", "lower", "upper", "qp_lower", "qp_upper"]
    steps = ["box", "step", *shown, "restricted", "chosen"]
    return (
        pd.DataFrame(columns=[*bounds, *shown, "n_case", "n_hit"]),
        pd.DataFrame(columns=steps),
    )


def _frame(rows: list[dict[str, Any]], empty: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows, columns=empty.columns) if rows else empty


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep quiet what ema-workbench warns of: parts that are not used, and pandas' next version."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "ipyparallel not installed")
        warnings.filterwarnings("ignore", "altair based", ImportWarning)
        warnings.filterwarnings(
            "ignore", "The inplace keyword", DeprecationWarning, module=r"ema_workbench\b"
        )
        yield
