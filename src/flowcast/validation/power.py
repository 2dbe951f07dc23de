"""Power-scaling: what moves when a prior or the data count a little more or less.

No fit is repeated: the draws are weighted by the density that is raised to a power near 1
(Kallioinen et al. 2024, doi 10.1007/s11222-023-10366-5), and the weights' tail is smoothed and
judged (Vehtari et al. 2024, JMLR 25:72, arXiv:1507.02646).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast._densities import SAMPLE, kept_hyper, log_priors, log_reports
from flowcast.errors import UsageError
from flowcast.estimates import aggregate_all, flow_estimates
from flowcast.inference.laplace import smooth_weights
from flowcast.persistence import read_run
from flowcast.posterior import Posterior
from flowcast.vocabulary import EstimateMeasure

__all__ = [
    "POWER_COLUMNS",
    "THRESHOLD",
    "Scaled",
    "power_scaling",
    "scale_power",
    "summarise_power",
]

FloatArray = NDArray[np.float64]

POWER_COLUMNS: Final = (
    "quantity", "kind", "place", "component", "level", "sensitivity", "noise", "shift",
    "pareto_k", "diagnosis", "remark",
)  # fmt: skip
THRESHOLD: Final = 0.05
"""Sensitivities from here on matter: of a normal, that its mean moves by about .3 sds for a doubled
power, or its sd by about that share (Kallioinen et al. 2024)."""
ALPHAS: Final = (0.99, 1.01)
N_NOISE: Final = 20
"""Quantities without any relation to a component, by which its Monte Carlo noise is told."""
LEAST_DRAWS: Final = 100
SUMS: Final[tuple[EstimateMeasure, ...]] = ("immigration", "emigration", "net")
OWN_PRIOR: Final = ("intercept", "covariate", "effect")
HYPER: Final = "hyper-parameter"
DATA: Final = "data"
NONE, CONFLICT, WEAK = "none", "prior-data conflict", "weak likelihood"
MATTERS, UNKNOWN = "prior matters", "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """What a component's power does to some quantities.

    Attributes
    ----------
    sensitivity
        Slope of the cumulative Jensen-Shannon distance of the posterior by log2 of the power,
        (quantity,); NaN where the weights cannot be trusted.
    shift
        Slope of the posterior mean by log2 of the power, in posterior sds, (quantity,).
    noise
        Sensitivity that a quantity without any relation to the component would seldom exceed.
    pareto_k, max_k
        The larger k-hat of the two sets of weights, and the largest that can be trusted.
    """

    sensitivity: FloatArray
    shift: FloatArray
    noise: float
    pareto_k: float
    max_k: float


@dataclass(frozen=True, slots=True, eq=False)
class _Quantities:
    """What is looked at: draws, dims (chain, draw, quantity), and a row about each."""

    draws: xr.DataArray
    about: pd.DataFrame

    def scale(
        self, some: NDArray[np.bool_], log_density: xr.DataArray, component: str, level: str
    ) -> pd.DataFrame:
        """Return the rows of some quantities for a component."""
        scaled = scale_power(self.draws.isel(quantity=some), log_density)
        rows = self.about[some].assign(component=component, level=level, remark="")
        rows["sensitivity"], rows["shift"] = scaled.sensitivity, scaled.shift
        rows["noise"], rows["pareto_k"] = scaled.noise, scaled.pareto_k
        if scaled.pareto_k > scaled.max_k:
            rows["remark"] = (
                f"Pareto k-hat {scaled.pareto_k:.2f} above {scaled.max_k:.2f}: few draws carry all"
            )
        return rows


def power_scaling(posterior: Posterior | str | Path) -> pd.DataFrame:
    """Tell what moves when priors, or the data, count a little more or less; no fit is repeated.

    Raised to a power near 1 is one component at a time: each prior alone; the priors of a vector,
    of process and measurement, and all; and, for comparison, the data. What the data are depends on
    the quantity, since a likelihood cannot move what was integrated out of it:

    - hyper-parameters: ``likelihood``, the collapsed marginal likelihood given the
      hyper-parameters. Flows and coefficients are integrated out of it, so that their
      distributions count as part of the model;
    - coefficients and flows: ``reports``, the density of the reports given flows, coefficients and
      hyper-parameters; for the sums of a place, of the corridors in the sum.

    Both take counts by their Gaussian stand-ins at the mode, and the former heavy tails too.
    Weights of priors are exact, also of draws that sweeps on the exact model have moved.

    Parameters
    ----------
    posterior
        A posterior, or the folder of a run.

    Returns
    -------
    DataFrame
        Columns `POWER_COLUMNS`, one row for each quantity and component. Quantities (`kind`) are
        ``hyper-parameter``, ``coefficient`` (those with a prior of their own), ``immigration``,
        ``emigration`` and ``net`` of each `place`, and their ``total``, over all periods; on the
        log scale, but for net migration. `level` says what the component is: ``single``, ``group``
        or ``data``. `sensitivity` is the slope of the cumulative Jensen-Shannon distance, as
        ArviZ has it: from `THRESHOLD` on it matters. `noise` is what it would be, in 19 of 20
        cases, of a quantity that has nothing to do with the component: what is below may be chance.
        `shift` is how many posterior sds the mean would move for a doubled power, to first order.
        `diagnosis` of a prior is

        ``none``
            it does not matter for the quantity;
        ``prior-data conflict``
            it matters and so do the data: they pull in different directions, or the prior is
            meant to be informative;
        ``weak likelihood``
            it matters and the data do not;
        ``prior matters``
            it does, and what the data do is not known; `remark` says why;
        ``unknown``
            there are too few draws to say.

        Where Pareto k-hat is too large, sensitivity and shift are missing and `remark` says so.

    Raises
    ------
    InputError
        If the folder is no run, or one that was changed.
    UsageError
        If there are fewer than 100 draws.

    Examples
    --------
    >>> from flowcast.validation import power_scaling
    >>> power_scaling("runs/mine").query("diagnosis != 'none'")  # doctest: +SKIP
    """
    if not isinstance(posterior, Posterior):
        posterior = read_run(posterior)
    n_draw = posterior.log_flow.sizes["chain"] * posterior.log_flow.sizes["draw"]
    if n_draw < LEAST_DRAWS:
        raise UsageError(f"(power-scaling) | found {n_draw} draws; allowed: {LEAST_DRAWS} or more")
    quantities = _quantities(posterior)
    tables = [*_data_rows(posterior, quantities), *_prior_rows(posterior, quantities)]
    table = _diagnose(pd.concat(tables, ignore_index=True))
    table = table.sort_values("order", kind="stable", ignore_index=True)[list(POWER_COLUMNS)]
    table.attrs = {"model": posterior.spec.name, "notes": _notes(posterior)}
    return table


def summarise_power(table: pd.DataFrame) -> pd.DataFrame:
    """Tell which quantities priors matter for, a row each, and which single prior most.

    Parameters
    ----------
    table
        From `power_scaling`.

    Returns
    -------
    DataFrame
        Those whose diagnosis is not ``none`` for all priors together, or for a single one; sums
        first, the most sensitive before the others. `priors` is the sensitivity to all together,
        `prior` the single one that matters most, with its `sensitivity`, `shift` and `diagnosis`.
    """
    single = table[table["level"] == "single"]
    most = single.loc[single.groupby("quantity", sort=False)["sensitivity"].idxmax().dropna()]
    joint = table[table["component"] == "priors"].set_index("quantity")
    most = most.set_index("quantity").reindex(joint.index)
    told = joint["diagnosis"].ne(NONE) | most["diagnosis"].fillna(NONE).ne(NONE)
    out = pd.DataFrame(
        {
            "kind": joint["kind"],
            "priors": joint["sensitivity"],
            "prior": most["component"],
            "sensitivity": most["sensitivity"],
            "shift": most["shift"],
            "diagnosis": most["diagnosis"].where(most["diagnosis"].ne(NONE), joint["diagnosis"]),
        }
    )[told.to_numpy()]
    out["parameter"] = out["kind"].isin([HYPER, "coefficient"])
    out = out.sort_values(["parameter", "priors"], ascending=[True, False], kind="stable")
    out = out.drop(columns="parameter").reset_index()
    out.attrs = table.attrs
    return out


def scale_power(quantities: xr.DataArray, log_density: xr.DataArray) -> Scaled:
    """Weight draws by a density raised to powers near 1, and tell how far quantities move.

    Parameters
    ----------
    quantities
        Draws, dims (chain, draw, quantity).
    log_density
        Log of the component at each draw, dims (chain, draw), up to a constant.
    """
    import arviz_stats  # noqa: F401  # registers `azstats`; takes half a second

    told = log_density.transpose(*SAMPLE).to_numpy()
    drawn = quantities.transpose(*SAMPLE, "quantity").to_numpy()
    n, size = told.size, drawn.shape[-1]
    weights, k = zip(*(smooth_weights((a - 1.0) * told.ravel()) for a in ALPHAS), strict=True)
    pareto_k, max_k = max(np.nan_to_num(k, nan=np.inf)), min(1.0 - 1.0 / np.log10(n), 0.7)
    if pareto_k > max_k:
        missing = np.full(size, np.nan)
        return Scaled(missing, missing, np.nan, pareto_k, max_k)
    rng = np.random.default_rng(np.random.SeedSequence([n, 41]))
    chance = rng.standard_normal((*told.shape, N_NOISE))
    both = xr.DataArray(np.concatenate([drawn, chance], axis=-1), dims=(*SAMPLE, "quantity"))
    lower, upper = (xr.DataArray(w.reshape(told.shape), dims=SAMPLE) for w in weights)
    found = both.azstats.power_scale_sense(
        lower_w=lower, upper_w=upper, lower_alpha=ALPHAS[0], upper_alpha=ALPHAS[1]
    ).to_numpy()
    flat = drawn.reshape(n, size)
    slope = (told.ravel() - told.mean()) @ (flat - flat.mean(axis=0)) / n
    shift = np.log(2.0) * slope / flat.std(axis=0)
    return Scaled(found[:size], shift, float(np.quantile(found[size:], 0.95)), pareto_k, max_k)


def _quantities(posterior: Posterior) -> _Quantities:
    """Return what is looked at; what never varies, or does not exist, is not."""
    rows: list[tuple[str, str, str | None]] = []
    drawn: list[FloatArray] = []

    def add(name: str, kind: str, values: FloatArray, place: str | None = None) -> None:
        if np.isfinite(values).all() and np.ptp(values) > 0.0:
            rows.append((name, kind, place))
            drawn.append(values)

    for name, values in kept_hyper(posterior).items():
        add(name, HYPER, values.to_numpy())
    terms = posterior.tree["coefficients"].to_dataset()
    coefficient = terms["coefficient"].transpose(*SAMPLE, "term").to_numpy()
    for at, (group, term) in enumerate(
        zip(terms["group"].values, terms["term"].values, strict=True)
    ):
        if str(group) in OWN_PRIOR:
            add(str(term), "coefficient", coefficient[..., at])
    flows = flow_estimates(posterior)
    whole = np.zeros(coefficient.shape[:2])
    for block in flows.blocks(4_000_000):
        whole += flows.select(corridor=block).sum(["corridor", "period"]).to_numpy()
    if flows.quantity == "flow":
        for measure, one in zip(SUMS, aggregate_all(flows, SUMS), strict=True):
            total = one.draws.sum("period", min_count=1).transpose(*SAMPLE, "place")
            called = "net migration" if measure == "net" else measure
            persons = total.to_numpy() if measure == "net" else np.log(total.to_numpy())
            for k, place in enumerate(total["place"].to_numpy()):
                add(f"{called} of {place}", measure, persons[..., k], str(place))
    add(f"all {flows.quantity}s", "total", np.log(whole))
    about = pd.DataFrame(rows, columns=["quantity", "kind", "place"])
    about["order"] = np.arange(len(about))
    draws = xr.DataArray(np.stack(drawn, axis=-1), dims=(*SAMPLE, "quantity"))
    return _Quantities(draws, about)


def _prior_rows(posterior: Posterior, quantities: _Quantities) -> Iterator[pd.DataFrame]:
    """Yield the rows of groups of priors, then of each prior."""
    single = log_priors(posterior)
    groups: dict[str, list[xr.DataArray]] = {"priors": list(single.values())}
    for part in ("process", "measurement"):
        own = [one for one in single.values() if one.attrs["part"] == part]
        groups[f"priors of the {part}"] = own
    for name in dict.fromkeys(one.attrs["name"] for one in single.values() if one.attrs["label"]):
        groups[name] = [one for one in single.values() if one.attrs["name"] == name]
    every = np.ones(len(quantities.about), dtype=bool)
    for name, own in groups.items():
        if len(own) > 1:
            together = xr.concat(own, "prior", combine_attrs="drop").sum("prior")
            yield quantities.scale(every, together, name, "group")
    for name, one in single.items():
        yield quantities.scale(every, one, name, "single")


def _data_rows(posterior: Posterior, quantities: _Quantities) -> Iterator[pd.DataFrame]:
    """Yield the rows of the data, each quantity with what it is not integrated out of."""
    about = quantities.about
    hyper = (about["kind"] == HYPER).to_numpy()
    if "log_likelihood" in posterior.tree.children:
        likelihood = posterior.tree["log_likelihood"].to_dataset()["collapsed"]
        yield quantities.scale(hyper, likelihood, "likelihood", DATA)
    reports, flow = log_reports(posterior), posterior.log_flow
    origin, destination = (flow[side].to_numpy().astype(str) for side in ("origin", "destination"))
    everywhere = np.ones(len(origin), dtype=bool)
    for kind, place in about.loc[~hyper, ["kind", "place"]].drop_duplicates().to_numpy():
        inside = {
            "immigration": destination == place,
            "emigration": origin == place,
            "net": (origin == place) | (destination == place),
        }.get(kind, everywhere)
        own = about["kind"].eq(kind) & (about["place"].eq(place) | about["place"].isna())
        density = reports.isel(corridor=inside).sum("corridor")
        yield quantities.scale(own.to_numpy(), density, "reports", DATA)


def _diagnose(table: pd.DataFrame) -> pd.DataFrame:
    """Add the diagnosis of every prior, and why there is none."""
    data = table[table["level"] == DATA].set_index("quantity")[["sensitivity", "noise", "remark"]]
    beside = data.reindex(table["quantity"]).set_axis(table.index)
    prior, told = table["sensitivity"], beside["sensitivity"]
    chance = told.ge(THRESHOLD) & told.lt(beside["noise"])
    missing = beside["remark"].fillna("the likelihood of the draws was not kept")
    cases = [
        (table["level"].eq(DATA), "", table["remark"]),
        (prior.isna(), UNKNOWN, table["remark"]),
        (prior.lt(THRESHOLD), NONE, ""),
        (prior.lt(table["noise"]), UNKNOWN, "no more than chance makes of so few draws"),
        (told.isna(), MATTERS, "of the data: " + missing),
        (chance, MATTERS, "of the data: no more than chance makes of so few draws"),
        (told.lt(THRESHOLD), WEAK, ""),
    ]
    where = [case.to_numpy() for case, _, _ in cases]
    words = np.select(where, [word for _, word, _ in cases], CONFLICT)
    remark = np.select(where, [np.asarray(why, dtype=object) for _, _, why in cases], "")
    return table.assign(diagnosis=words, remark=remark)


def _notes(posterior: Posterior) -> list[str]:
    notes = []
    if not posterior.gate.passed:
        notes.append("the run did not pass the convergence gate")
    if "log_likelihood" not in posterior.tree.children:
        notes.append(
            "the likelihood of the draws was not kept (a run of an earlier version, or one with "
            "reports of sums, or with very many reports): what the data say of hyper-parameters is "
            "not known"
        )
    return notes
