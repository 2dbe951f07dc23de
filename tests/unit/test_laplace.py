"""The proposal of importance sampling, its weights, and what they are judged by."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy import stats
from support import changed, varied_spec

from flowcast._terminal import Progress
from flowcast.config import Sampler
from flowcast.inference import fit, fit_problem
from flowcast.inference.checkpoint import Checkpoint
from flowcast.inference.gate import judge_importance, max_pareto_k
from flowcast.inference.laplace import Proposal, first_proposal, sample_laplace, smooth_weights
from flowcast.model.coordinates import build_coordinates
from flowcast.model.density import find_mode
from flowcast.simulation import simulate_world, simulation_spec

FloatArray = NDArray[np.float64]
NONE = np.zeros(0, dtype=np.int64)
QUIET = Progress(shown=False)


def proposal(mirrored: NDArray[np.int64] = NONE, dim: int = 2) -> Proposal:
    rng = np.random.default_rng(3)
    root = np.eye(dim) + 0.2 * np.ones((dim, dim))
    return Proposal(
        centre=np.linspace(0.5, 1.0, dim),
        root=root,
        straight=np.full(dim, 1.1),
        bent=rng.uniform(-0.5, 0.5, dim),
        mean=rng.uniform(-0.3, 0.3, dim),
        factor=np.linalg.cholesky(np.eye(dim) + 0.3),
        mirrored=mirrored,
    )


@pytest.mark.parametrize("mirrored", [NONE, np.array([0]), np.array([0, 1])])
def test_the_density_of_the_proposal_adds_up_to_one(mirrored: NDArray[np.int64]) -> None:
    one = proposal(mirrored)
    at = np.linspace(-40.0, 40.0, 801)
    grid = np.stack(np.meshgrid(at, at, indexing="ij"), axis=-1).reshape(-1, 2)
    grid = grid[(grid[:, mirrored] >= 0).all(axis=1)]
    # A point on the edge of a mirrored half plane stands for half a cell.
    cell = (at[1] - at[0]) ** 2 * np.where(grid[:, mirrored] == 0.0, 0.5, 1.0).prod(axis=1)
    assert np.exp(one.log_density(grid)) @ cell == pytest.approx(1.0, abs=0.01)


def test_draws_have_the_density_of_the_proposal() -> None:
    """Shares of draws in boxes against the density added up over a fine grid."""
    one = proposal(np.array([0]))
    draws = one.draw(np.random.default_rng(1), 100_000)
    edges = np.array([0.0, 0.8, 1.6, 2.5])
    step = 0.02
    inner = np.arange(-3.0, 4.0, step) + step / 2
    for lo, hi in pairwise(edges):
        across = np.arange(lo, hi, step) + step / 2
        grid = np.stack(np.meshgrid(across, inner, indexing="ij"), axis=-1).reshape(-1, 2)
        wanted = np.exp(one.log_density(grid)).sum() * step**2
        inside = (draws[:, 0] >= lo) & (draws[:, 0] < hi) & (np.abs(draws[:, 1] - 0.5) < 3.5)
        assert inside.mean() == pytest.approx(wanted, abs=0.008)
    assert (draws[:, 0] >= 0).all()


def test_unbending_undoes_the_bend() -> None:
    one = proposal(dim=3)
    s = np.random.default_rng(2).normal(scale=3.0, size=(50, 3))
    y = one.straight * s + one.bent * (np.sqrt(1.0 + s**2) - 1.0)
    np.testing.assert_allclose(one.unbend(one.centre + y @ one.root.T), s, atol=1e-10)


def test_equal_weights_are_left_alone_and_heavy_tails_are_told() -> None:
    weight, _ = smooth_weights(np.zeros(500))
    np.testing.assert_allclose(weight, 1.0 / 500, rtol=1e-6)
    rng = np.random.default_rng(4)
    x = rng.standard_normal(4000)
    good = stats.norm.logpdf(x, scale=0.8) - stats.norm.logpdf(x)
    bad = stats.norm.logpdf(x, scale=3.0) - stats.norm.logpdf(x)
    assert smooth_weights(good)[1] < 0.5
    assert smooth_weights(bad)[1] > 0.7


def test_impossible_points_have_no_weight() -> None:
    log_weight = np.zeros(100)
    log_weight[7] = -np.inf
    weight, _ = smooth_weights(log_weight)
    assert weight[7] == 0.0
    assert weight.sum() == pytest.approx(1.0)


# --- the whole on known densities ----------------------------------------------------------------


@dataclass
class Skewed:
    """Stands in for `Coordinates`: independent log-gamma and folded-normal numbers."""

    centre: FloatArray
    root: FloatArray
    folded: NDArray[np.int64]
    tail: float = 0.0
    density: "Skewed | None" = None
    problem: Any = field(default_factory=lambda: SimpleNamespace(reports=SimpleNamespace(n=10)))

    def plain(self) -> "Skewed":
        return self

    def unconstrained(self, u: FloatArray) -> FloatArray:
        return u

    def value(self, u: FloatArray) -> float:
        if self.tail:
            return float(stats.cauchy.logpdf(u / self.tail).sum())
        return float(4.0 * u[0] - np.exp(u[0]) - 0.5 * (u[1] / 0.7) ** 2)

    def hyper(self, u: FloatArray) -> dict[str, float]:
        return {"log_gamma": float(u[0]), "folded": float(np.abs(u[1]))}


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch) -> Skewed:
    def named(density: Skewed, x: FloatArray) -> xr.Dataset:
        values = {"log_gamma": x[..., 0], "folded": np.abs(x[..., 1])}
        coords = {"chain": range(x.shape[0]), "draw": range(x.shape[1])}
        return xr.Dataset({k: (("chain", "draw"), v) for k, v in values.items()}, coords)

    monkeypatch.setattr("flowcast.inference.laplace.name_draws", named)
    one = Skewed(np.array([np.log(4.0), 0.0]), np.diag([0.5, 0.7]), np.array([1]))
    return replace(one, density=one)


def sample(target: Any, **options: Any) -> Any:  # noqa: ANN401
    sampler = Sampler(seed=2, min_ess=400, **options)
    return sample_laplace(target, sampler, Checkpoint(None), QUIET)


def test_moments_of_a_skewed_density_are_right(skewed: Skewed) -> None:
    draws = sample(skewed, importance_draws=4000)
    assert draws.gate.passed, draws.gate
    table = draws.diagnostics.set_index("parameter")
    # log of a Gamma(4, 1): digamma and trigamma; a half-normal of sd 0.7. Three standard errors.
    for name, mean, sd in (("log_gamma", 1.25612, 0.53273), ("folded", 0.55851, 0.42200)):
        error = sd / np.sqrt(table["ess_bulk"][name])
        assert abs(table["mean"][name] - mean) < 3.0 * error
        assert table["sd"][name] == pytest.approx(sd, rel=0.1)
    assert draws.x.shape == (1, 1000, 2)
    assert draws.method == "laplace"
    assert draws.facts["pareto_k"] < 0.7


def test_weights_that_a_few_draws_dominate_do_not_pass(skewed: Skewed) -> None:
    far = replace(skewed, tail=30.0)
    draws = sample(replace(far, density=far), importance_draws=1000)
    assert not draws.gate.passed
    assert any("importance weights" in failure for failure in draws.gate.failures)


def test_it_stops_when_there_are_enough_effective_draws(skewed: Skewed) -> None:
    few = sample(skewed, importance_draws=6000).facts["importance_draws"]
    assert few < 6000
    assert few % 500 == 0


def test_the_same_seed_gives_the_same_draws(skewed: Skewed) -> None:
    one, other = (sample(skewed, importance_draws=1500) for _ in range(2))
    np.testing.assert_array_equal(one.x, other.x)


def test_effective_sample_size_by_parameter_counts_weights() -> None:
    """With equal weights it is the number of draws; with two groups of weights it is less."""
    rng = np.random.default_rng(5)
    data = xr.Dataset(
        {"sd": (("chain", "draw"), rng.normal(size=(1, 1000)))},
        {"chain": [0], "draw": range(1000)},
    )
    sampler = Sampler(min_ess=400)
    gate, table = judge_importance(data, np.full(1000, 1e-3), 0.1, sampler, 0.7)
    assert gate.passed
    assert table["ess_bulk"][0] == pytest.approx(1000)
    weight = np.where(np.arange(1000) < 100, 5.0, 5.0 / 9.0)
    gate, table = judge_importance(data, weight / weight.sum(), 0.1, sampler, 0.7)
    assert table["ess_tail"][0] == pytest.approx(1e6 / (100 * 25 + 900 * (25 / 81)), rel=1e-6)
    assert not gate.passed


# --- behind the one interface --------------------------------------------------------------------


def test_nuts_follows_where_the_weights_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def instead(*arguments: object) -> Any:  # noqa: ANN401
        asked.append(arguments)
        raise StopIteration

    sampler = Sampler(importance_draws=200, min_ess=10_000, sweeps=0)
    problem = simulate_world(4, 2, seed=5, spec=simulation_spec(sampler=sampler)).problem
    monkeypatch.setattr(fit, "sample_nuts", instead)
    with pytest.raises(StopIteration):
        fit_problem(problem, prior=False)
    assert len(asked) == 1


def test_a_gaussian_model_is_called_exact_and_says_how_it_was_drawn() -> None:
    spec = changed(
        varied_spec("bare"),
        measurement={"counts": "delta"},
        sampler={"min_ess": 50, "importance_draws": 2000, "kept_draws": 50},
    )
    problem = simulate_world(5, 3, seed=5, spec=spec).problem
    tree, gate, diagnostics, remarks = fit_problem(problem, prior=False)
    assert gate.passed, gate.failures
    assert remarks["method"] == "laplace"
    assert remarks["exact"] is True
    assert tree["posterior"].sizes["chain"] == 1
    assert tree["latent"]["log_flow"].shape == (1, 50, 20, 3)
    assert set(diagnostics.columns) == {"parameter", "mean", "sd", "rhat", "ess_bulk", "ess_tail"}
    assert "sweeps" not in remarks


def test_the_first_proposal_follows_the_density_on_either_side() -> None:
    problem = simulate_world(4, 2, seed=5).problem
    coordinates = build_coordinates(find_mode(problem))
    plain = coordinates.plain()
    one = first_proposal(coordinates, plain.value)
    assert (np.abs(one.bent) < one.straight).all()
    probe = 2.5
    far = coordinates.centre + probe * coordinates.root[:, 0]
    drop = plain.value(coordinates.centre) - plain.value(far)
    width = (one.straight + one.bent)[0]
    assert np.isclose(width, np.clip(probe / np.sqrt(2.0 * max(drop, 1e-9)), 1 / 3, 3), rtol=1e-6)


def test_the_bound_on_the_tail_is_stricter_where_reports_are_few() -> None:
    assert max_pareto_k(500) == 0.5
    assert max_pareto_k(500_000) == 0.7
    data = xr.Dataset(
        {"sd": (("chain", "draw"), np.random.default_rng(5).normal(size=(1, 1000)))},
        {"chain": [0], "draw": range(1000)},
    )
    verdicts = [
        judge_importance(data, np.full(1000, 1e-3), 0.6, Sampler(), max_pareto_k(n))[0].passed
        for n in (500, 500_000)
    ]
    assert verdicts == [False, True]
