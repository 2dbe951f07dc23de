"""Power-scaling: what draws weighted by a component's power say, against what they should."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats import psense
from numpy.typing import NDArray
from scipy import integrate, stats
from support import family_problem, laplace_posterior, tiny_posterior, varied_spec

from flowcast.errors import UsageError
from flowcast.posterior import GateResult, Posterior
from flowcast.simulation import simulate_world
from flowcast.validation import POWER_COLUMNS, power, power_scaling, summarise_power
from flowcast.validation.power import SAMPLE, THRESHOLD, scale_power

PRIOR, DATA, N = (1.0, 1.0), (3.0, 0.5), 40_000
"""Mean and sd of a normal prior, and of the normal likelihood."""


def normal(prior: float, data: float) -> tuple[float, float]:
    """Return mean and sd of the posterior with prior and likelihood raised to powers."""
    weights = np.array([prior / PRIOR[1] ** 2, data / DATA[1] ** 2])
    return float(weights @ [PRIOR[0], DATA[0]] / weights.sum()), float(weights.sum() ** -0.5)


def drawn(n: int = N) -> xr.DataArray:
    """Return draws of the posterior as one quantity: its quantiles, in random order."""
    mean, sd = normal(1.0, 1.0)
    x = stats.norm(mean, sd).ppf((np.arange(n) + 0.5) / n)
    shuffled = np.random.default_rng(1).permutation(x).reshape(4, -1, 1)
    return xr.DataArray(shuffled, dims=(*SAMPLE, "quantity"))


def component(x: xr.DataArray, which: str) -> xr.DataArray:
    mean, sd = PRIOR if which == "prior" else DATA
    return xr.DataArray(stats.norm(mean, sd).logpdf(x.to_numpy()[..., 0]), dims=SAMPLE)


def exact_slope(which: str) -> float:
    """Return the slope of the cumulative Jensen-Shannon distance, by quadrature."""
    mean, sd = normal(1.0, 1.0)
    ends = stats.norm(mean, sd).ppf([0.5 / N, 1.0 - 0.5 / N])  # it is an integral over the draws
    x = np.linspace(*ends, 200_001)
    slopes = []
    for alpha in (0.99, 1.01):
        p = stats.norm(mean, sd)
        q = stats.norm(*(normal(alpha, 1.0) if which == "prior" else normal(1.0, alpha)))
        one = max(distance(p.cdf(x), q.cdf(x), x), distance(p.sf(x)[::-1], q.sf(x)[::-1], x))
        slopes.append(one / abs(np.log2(alpha)))
    return float(np.mean(slopes))


def distance(p: NDArray[Any], q: NDArray[Any], x: NDArray[Any]) -> float:
    """Return the normalised cumulative Jensen-Shannon distance of two distributions."""

    def part(a: NDArray[Any], b: NDArray[Any]) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.where(a > 0.0, a * np.log2(a / (0.5 * (a + b))), 0.0)
        linear = 0.5 / np.log(2.0) * (b - a)
        return float(integrate.trapezoid(inside + linear, x))

    total = integrate.trapezoid(p, x) + integrate.trapezoid(q, x)
    return float(np.sqrt((part(p, q) + part(q, p)) / total))


@pytest.mark.parametrize("which", ["prior", "data"])
def test_a_normal_moves_as_it_does_when_its_prior_or_likelihood_is_raised(which: str) -> None:
    x = drawn()
    found = scale_power(x, component(x, which))
    step = 1e-4
    ends = [
        normal(1.0 + e, 1.0) if which == "prior" else normal(1.0, 1.0 + e) for e in (-step, step)
    ]
    sd = normal(1.0, 1.0)[1]
    shift = np.log(2.0) * (ends[1][0] - ends[0][0]) / (2.0 * step) / sd
    assert found.shift[0] == pytest.approx(shift, rel=0.01)
    assert found.sensitivity[0] == pytest.approx(exact_slope(which), rel=0.03)
    assert found.sensitivity[0] > found.noise
    assert found.pareto_k < found.max_k


def test_sensitivities_are_those_of_arviz() -> None:
    rng = np.random.default_rng(3)
    values = rng.standard_normal((4, 500, 3))
    density = xr.DataArray(values @ [0.5, -0.2, 0.0] - 0.3 * values[..., 0] ** 2, dims=SAMPLE)
    quantities = xr.DataArray(values, dims=(*SAMPLE, "quantity"))
    told = psense(
        xr.DataTree.from_dict(
            {
                "posterior": quantities.to_dataset(name="x"),
                "log_prior": density.to_dataset(name="p"),
            }
        )
    )["x"]
    found = scale_power(quantities, density)
    np.testing.assert_allclose(found.sensitivity, told, rtol=0.05, atol=2e-3)


def test_what_has_nothing_to_do_with_a_component_is_seldom_above_its_noise() -> None:
    rng = np.random.default_rng(5)
    quantities = xr.DataArray(rng.standard_normal((2, 200, 200)), dims=(*SAMPLE, "quantity"))
    density = xr.DataArray(5.0 * rng.standard_normal((2, 200)), dims=SAMPLE)
    found = scale_power(quantities, density)
    assert 0.01 < (found.sensitivity > found.noise).mean() < 0.2
    # With so few draws and so large a component, chance alone looks like sensitivity.
    assert found.noise > THRESHOLD


def test_weights_that_cannot_be_trusted_give_no_number() -> None:
    rng = np.random.default_rng(6)
    density = xr.DataArray(300.0 * rng.standard_cauchy((2, 500)), dims=SAMPLE)
    found = scale_power(
        xr.DataArray(rng.standard_normal((2, 500, 1)), dims=(*SAMPLE, "quantity")), density
    )
    assert found.pareto_k > found.max_k
    assert np.isnan(found.sensitivity).all()
    assert np.isnan(found.shift).all()


# A posterior


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    problem = simulate_world(4, 2, seed=2, spec=varied_spec("plain")).problem
    return laplace_posterior(problem, n_draws=100)


def with_likelihood(posterior: Posterior, values: NDArray[Any] | None = None) -> Posterior:
    tree = posterior.tree.copy()
    shape = posterior.log_flow.shape[:2]
    if values is None:
        values = np.random.default_rng(1).standard_normal(shape)
    tree["log_likelihood"] = xr.DataTree(xr.Dataset({"collapsed": (SAMPLE, values)}))
    return replace(posterior, tree=tree)


@pytest.fixture(scope="module")
def table(posterior: Posterior) -> pd.DataFrame:
    return power_scaling(with_likelihood(posterior))


def test_every_quantity_has_a_row_for_every_prior_and_one_for_the_data(
    posterior: Posterior, table: pd.DataFrame
) -> None:
    assert tuple(table) == POWER_COLUMNS
    assert not table.duplicated(["quantity", "component"]).any()
    assert set(table["kind"]) == {
        "hyper-parameter", "coefficient", "immigration", "emigration", "net", "total",
    }  # fmt: skip
    assert set(table.loc[table["kind"] == "immigration", "place"]) == set(
        posterior.log_flow["destination"].to_numpy().astype(str)
    )
    data = table[table["level"] == "data"]
    assert data["quantity"].is_unique
    assert set(data["quantity"]) == set(table["quantity"])
    of_hyper = data["kind"] == "hyper-parameter"
    assert set(data.loc[of_hyper, "component"]) == {"likelihood"}
    assert set(data.loc[~of_hyper, "component"]) == {"reports"}
    components = table.loc[table["level"] != "data", "component"]
    assert components.value_counts().nunique() == 1
    assert {"priors", "priors of the process", "share_reported", "sd_corridor"} <= set(components)
    known = table["sensitivity"].notna()
    assert known.mean() > 0.8
    told = table["remark"].str.startswith("Pareto k-hat")
    assert (told == ~known).all()
    assert set(table["diagnosis"]) <= {
        "", "none", "prior-data conflict", "weak likelihood", "prior matters", "unknown",
    }  # fmt: skip


def test_a_prior_moves_its_own_parameter_most(table: pd.DataFrame) -> None:
    """A sharp prior of a parameter that the data say little of: the share that is reported."""
    own = table[table["component"].str.startswith("share_reported[")]
    beside = own[own["kind"] == "hyper-parameter"]
    same = beside["quantity"] == beside["component"]
    assert (
        beside.loc[same, "sensitivity"].median() > 3.0 * beside.loc[~same, "sensitivity"].median()
    )


def test_the_priors_of_a_vector_move_as_their_sum_does(
    posterior: Posterior, table: pd.DataFrame
) -> None:
    """Shifts are linear in the log density."""
    joint = table[table["component"] == "share_reported"].set_index("quantity")["shift"]
    assert joint.notna().all()
    single = table[table["component"].str.startswith("share_reported[")]
    total = single.groupby("quantity", sort=False)["shift"].sum(min_count=1)
    np.testing.assert_allclose(joint, total[joint.index], atol=1e-9)


def test_the_reports_of_a_place_are_those_of_its_own_corridors(
    posterior: Posterior, table: pd.DataFrame
) -> None:
    reports = power.log_reports(posterior)
    place = str(posterior.log_flow["destination"].to_numpy()[0])
    into = (posterior.log_flow["destination"] == place).to_numpy()
    flows = np.exp(posterior.log_flow.to_numpy()[:, :, into].astype(float)).sum(axis=(2, 3))
    expected = scale_power(
        xr.DataArray(np.log(flows)[..., None], dims=(*SAMPLE, "quantity")),
        reports.isel(corridor=into).sum("corridor"),
    )
    row = table[(table["quantity"] == f"immigration of {place}") & (table["level"] == "data")]
    assert row["shift"].item() == pytest.approx(expected.shift[0], rel=1e-4)
    assert row["sensitivity"].item() == pytest.approx(expected.sensitivity[0], rel=1e-3)


def test_a_run_without_likelihood_says_so(posterior: Posterior) -> None:
    table = power_scaling(posterior)
    hyper = table[table["kind"] == "hyper-parameter"]
    assert "likelihood" not in set(table["component"])
    assert set(hyper["diagnosis"]) <= {"none", "prior matters", "unknown"}
    assert "prior matters" in set(hyper["diagnosis"])
    assert "not kept" in hyper.loc[hyper["diagnosis"] == "prior matters", "remark"].iloc[0]
    (note,) = table.attrs["notes"]
    assert "likelihood" in note


def test_a_run_that_did_not_converge_says_so(posterior: Posterior) -> None:
    failed = with_likelihood(replace(posterior, gate=GateResult(False, ("R-hat",))))
    assert power_scaling(failed).attrs["notes"] == ["the run did not pass the convergence gate"]


@pytest.mark.slow
def test_stocks_and_biases_of_families_are_looked_at_too() -> None:
    stocks = laplace_posterior(family_problem(seed=1, quantity="stock"), n_draws=50)
    table = power_scaling(stocks)
    assert set(table["kind"]) == {"hyper-parameter", "coefficient", "total"}
    assert "all stocks" in set(table["quantity"])
    bias = "bias_survey[lfs]"
    assert {bias, "drift[2020]"} <= set(table["quantity"])
    assert {bias, "drift[2020]"} <= set(table.loc[table["level"] == "single", "component"])


def test_few_draws_are_refused() -> None:
    with pytest.raises(UsageError, match="found 40 draws"):
        power_scaling(tiny_posterior(3, 1, n_draws=20))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="run folder"):
        power_scaling(tmp_path / "none")


# The diagnosis


def judged(prior: float, data: float | None, *, noise: float = 0.01, remark: str = "") -> pd.Series:
    rows = [("single", prior, noise if prior == prior else np.nan, remark)]
    if data is not None:
        rows += [("data", data, noise, "")]
    table = pd.DataFrame(rows, columns=["level", "sensitivity", "noise", "remark"])
    return power._diagnose(table.assign(quantity="a")).iloc[0]


@pytest.mark.parametrize(
    ("prior", "data", "noise", "expected"),
    [
        (0.02, 0.3, 0.01, "none"),
        (0.02, None, 0.01, "none"),
        (0.2, 0.3, 0.01, "prior-data conflict"),
        (0.2, 0.02, 0.01, "weak likelihood"),
        (0.2, None, 0.01, "prior matters"),
        (0.2, 0.15, 0.18, "prior matters"),
        (0.2, np.nan, 0.01, "prior matters"),
        (0.1, 0.3, 0.15, "unknown"),
        (np.nan, 0.3, 0.01, "unknown"),
    ],
)
def test_the_diagnosis_follows_from_prior_data_and_noise(
    prior: float, data: float | None, noise: float, expected: str
) -> None:
    found = judged(prior, data, noise=noise, remark="k-hat" if prior != prior else "")
    assert found["diagnosis"] == expected
    assert bool(found["remark"]) == (expected in ("unknown", "prior matters"))


def test_the_summary_has_what_priors_matter_for_and_which_most(table: pd.DataFrame) -> None:
    short = summarise_power(table)
    assert set(short["quantity"]) <= set(table["quantity"])
    assert short["diagnosis"].ne("none").all()
    single = table[table["level"] == "single"]
    for row in short.to_dict("records"):
        own = single[single["quantity"] == row["quantity"]].set_index("component")["sensitivity"]
        assert row["prior"] == own.idxmax()
        assert row["sensitivity"] == own.max()
    kinds = short["kind"].isin(["hyper-parameter", "coefficient"]).to_numpy()
    assert (np.diff(kinds.astype(int)) >= 0).all()  # sums come first
