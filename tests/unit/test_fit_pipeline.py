"""From a problem to a posterior with the sampler replaced: independent normals, nothing sampled.

In the sampler's coordinates the posterior is nearly a standard normal, so that standard normal
draws are what a perfect sampler would return; everything around it is as in a real fit.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import nutpie
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import ModelSpec, Sampler
from flowcast.inference import estimate, fit, fit_problem, recover
from flowcast.model.problem import Problem
from flowcast.observations import observations_from_frame
from flowcast.posterior import Posterior
from flowcast.simulation import SimulatedWorld, simulate_world, simulation_spec

SAMPLER = Sampler(
    method="nuts", draws=60, tune=20, chains=2, seed=3, kept_draws=20, min_ess=30, max_rhat=1.3,
    sweeps=0,
)  # fmt: skip
# Ten of sixty draws of each chain, evenly spaced, both ends included: 59/9 apart, rounded.
KEPT = [0, 7, 13, 20, 26, 33, 39, 46, 52, 59]


class StandardNormal:
    """Stands in for `nutpie.sample`: independent standard normals, and what it was asked for.

    It is called once a chain, with a seed that tells the chains apart.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.calls: list[int] = []
        self.lock = threading.Lock()  # chains run side by side
        self.change: Callable[[NDArray[np.float64], int], NDArray[np.float64]] = lambda z, _: z
        self.diverging: tuple[int, ...] = ()

    def __call__(self, compiled: object, **asked: Any) -> xr.DataTree:  # noqa: ANN401
        with self.lock:
            self.asked = asked
            self.calls.append(asked["seed"])
            number = len(self.calls)
        rng = np.random.default_rng(asked["seed"])
        shape = (asked["chains"], asked["draws"], len(asked["init_mean"]))
        z = self.change(rng.standard_normal(shape), number)
        diverging = np.zeros(z.shape[:2], dtype=bool)
        diverging[0, list(self.diverging)] = True
        sample = ("chain", "draw")
        stats = {"diverging": (sample, diverging), "energy": (sample, z.sum(axis=-1))}
        stats["unwanted"] = (sample, z[..., 0])
        return xr.DataTree.from_dict(
            {
                "posterior": xr.Dataset({"z": ((*sample, "dim"), z)}),
                "sample_stats": xr.Dataset(stats),
            }
        )


@pytest.fixture
def nuts(monkeypatch: pytest.MonkeyPatch) -> StandardNormal:
    fake = StandardNormal()
    monkeypatch.setattr(nutpie, "sample", fake)
    return fake


@pytest.fixture
def little_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw little from the prior, which takes most of the time where nothing is sampled."""
    monkeypatch.setattr(fit, "N_PRIOR_DRAWS", 4)
    monkeypatch.setattr(fit, "N_PRIOR_PREDICTIVE", 2)


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate_world(4, 2, seed=5, spec=simulation_spec(sampler=SAMPLER))


@pytest.fixture(scope="module")
def problem(world: SimulatedWorld) -> Problem:
    return world.problem


@pytest.fixture(scope="module")
def files(world: SimulatedWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return world.write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def fitted(world: SimulatedWorld, files: Path) -> Iterator[Posterior]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nutpie, "sample", StandardNormal())
        yield run(world.problem.spec, files)


def run(spec: ModelSpec, files: Path, **options: Any) -> Posterior:  # noqa: ANN401
    paths = (files / f"{name}.csv" for name in ("observations", "places", "corridors"))
    return estimate(spec, *paths, **options)


def assert_same_draws(one: xr.DataTree, other: xr.DataTree) -> None:
    assert set(one.children) == set(other.children)
    for group in one.children:
        xr.testing.assert_identical(one[group].to_dataset(), other[group].to_dataset())


# --- what comes out ------------------------------------------------------------------------------


def test_every_group_has_the_shape_that_was_asked_for(fitted: Posterior, problem: Problem) -> None:
    tree = fitted.tree
    assert dict(tree["latent"]["log_flow"].sizes) == {
        "chain": 2,
        "draw": 10,
        "corridor": 12,
        "period": 2,
    }
    assert dict(tree["posterior"]["sd_corridor"].sizes) == {"chain": 2, "draw": 60}
    assert tree["posterior"]["duration_increment"].shape == (2, 60, 4)
    n_term = problem.coefficients.n
    assert tree["coefficients"]["coefficient"].shape == (2, 10, n_term)
    assert tree["cells"]["evidence"].shape == (12, 2)
    assert tree["reports"].sizes["report"] == problem.reports.n
    assert np.isfinite(fitted.log_flow).all()


def test_kept_draws_are_evenly_spaced_over_each_chain(fitted: Posterior) -> None:
    assert fitted.log_flow["hyper_draw"].values.tolist() == [KEPT, KEPT]


@pytest.mark.usefixtures("nuts", "little_prior")
@pytest.mark.parametrize(("draws", "wanted", "kept"), [(12, 100, 12), (200, 20, 10), (30, 21, 10)])
def test_no_more_draws_are_kept_than_there_are_or_than_are_wanted(
    world: SimulatedWorld, files: Path, draws: int, wanted: int, kept: int
) -> None:
    """Wanted are draws over both chains."""
    posterior = run(
        world.problem.spec, files, draws=draws, overrides={"sampler.kept_draws": wanted}
    )
    index = posterior.log_flow["hyper_draw"].values[0]
    assert len(index) == kept
    assert (index[0], index[-1]) == (0, draws - 1)
    assert (np.diff(index) > 0).all()


def test_parameters_lie_where_the_model_allows_them(fitted: Posterior) -> None:
    data = fitted.tree["posterior"].to_dataset()
    for name in map(str, data.data_vars):
        values = data[name].to_numpy()
        assert np.isfinite(values).all(), name
        assert (values > 0).all(), name
    for name in ("ar_coefficient", "share_reported"):
        assert (data[name] < 1).all(), name


def test_only_statistics_that_are_used_are_kept(fitted: Posterior) -> None:
    assert set(map(str, fitted.tree["sample_stats"].data_vars)) == {"diverging", "energy"}


def test_diagnostics_have_a_row_for_every_number(fitted: Posterior) -> None:
    data = fitted.tree["posterior"].to_dataset()
    n = sum(int(np.prod(data[name].shape[2:])) for name in data.data_vars)
    table = fitted.diagnostics
    assert len(table) == table["parameter"].nunique() == n
    assert {"sd_corridor", "duration_increment[0_to_3]", "sd_reporter[emigration]"} <= set(
        table["parameter"]
    )
    mean = table.set_index("parameter")["mean"]
    assert mean["sd_corridor"] == pytest.approx(float(data["sd_corridor"].mean()))


def test_flows_are_drawn_from_the_hyper_parameters_they_point_to(
    nuts: StandardNormal, monkeypatch: pytest.MonkeyPatch, problem: Problem
) -> None:
    """The simulation is replaced by one that writes down whose parameters it was given."""

    def note_origin(problem: Problem, hyper: dict[str, Any], *_: object) -> NDArray[np.float64]:
        return np.full(problem.coefficients.n, hyper["sd_origin"])

    def note_corridor(
        problem: Problem, hyper: dict[str, Any], sites: object, coefficient: object,
        corridors: slice, rng: object,
    ) -> NDArray[np.float64]:  # fmt: skip
        n = len(range(*corridors.indices(problem.grid.n_corridor)))
        return np.full((n, problem.grid.n_period), hyper["sd_corridor"])

    monkeypatch.setattr(recover, "draw_coefficients", note_origin)
    monkeypatch.setattr(recover, "draw_cells", note_corridor)
    tree, *_ = fit_problem(problem, prior=False)
    for group, name, parameter in (
        ("latent", "log_flow", "sd_corridor"),
        ("coefficients", "coefficient", "sd_origin"),
    ):
        found = tree[group][name].to_numpy()
        values = tree["posterior"][parameter].to_numpy()
        for chain in (0, 1):
            for k, draw in enumerate(KEPT):
                np.testing.assert_allclose(found[chain, k], values[chain, draw], rtol=1e-6)


# --- the sampler is asked for what the model says ------------------------------------------------


def test_the_sampler_gets_the_settings_of_the_model(nuts: StandardNormal, problem: Problem) -> None:
    fit_problem(problem, prior=False)
    expected = {"draws": 60, "tune": 20, "chains": 1, "target_accept": 0.8, "cores": 1}
    assert {name: nuts.asked[name] for name in expected} == expected
    assert len(set(nuts.calls)) == len(nuts.calls) == 2
    assert nuts.asked["progress_bar"] is False
    assert nuts.asked["save_warmup"] is False
    assert (nuts.asked["init_mean"] == 0.0).all()


@pytest.mark.usefixtures("little_prior")
def test_settings_of_the_call_are_laid_over_those_of_the_model(
    nuts: StandardNormal, world: SimulatedWorld, files: Path
) -> None:
    posterior = run(
        world.problem.spec,
        files,
        draws=40,
        tune=11,
        chains=3,
        seed=9,
        overrides={"process.sd_origin": {"half_normal": 2}},
    )
    assert (nuts.asked["draws"], nuts.asked["tune"], len(set(nuts.calls))) == (40, 11, 3)
    sampler = posterior.spec.sampler
    assert (sampler.draws, sampler.tune, sampler.chains, sampler.seed) == (40, 11, 3, 9)
    assert str(posterior.spec.process.sd_origin) == "half_normal(sd=2)"
    assert posterior.tree["posterior"].sizes["chain"] == 3
    assert posterior.info["overrides"] == {
        "process.sd_origin": {"half_normal": 2},
        "sampler.draws": 40,
        "sampler.tune": 11,
        "sampler.chains": 3,
        "sampler.seed": 9,
    }


# --- reproducible --------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_posterior(
    nuts: StandardNormal, fitted: Posterior, world: SimulatedWorld, files: Path
) -> None:
    again = run(world.problem.spec, files)
    assert_same_draws(again.tree, fitted.tree)
    pd.testing.assert_frame_equal(again.diagnostics, fitted.diagnostics, check_exact=True)
    assert again.gate == fitted.gate


@pytest.mark.usefixtures("little_prior")
def test_another_seed_gives_other_draws_of_everything(
    nuts: StandardNormal, fitted: Posterior, world: SimulatedWorld, files: Path
) -> None:
    other = run(world.problem.spec, files, seed=4)
    for group, name in (
        ("posterior", "sd_corridor"),
        ("latent", "log_flow"),
        ("coefficients", "coefficient"),
        ("prior", "sd_corridor"),
    ):
        found = other.tree[group][name].to_numpy()
        same = found == fitted.tree[group][name].to_numpy()[:, : found.shape[1]]
        assert not same.any(), group
    xr.testing.assert_identical(other.tree["cells"].to_dataset(), fitted.tree["cells"].to_dataset())


class Backwards:
    """A pool without threads that does its work in the opposite order."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, function: Callable[[int], Any], items: Iterable[int]) -> list[Any]:
        done = {item: function(item) for item in reversed(list(items))}
        return [done[item] for item in sorted(done)]


def test_the_order_in_which_threads_work_does_not_matter(
    nuts: StandardNormal, monkeypatch: pytest.MonkeyPatch, fitted: Posterior, problem: Problem
) -> None:
    monkeypatch.setattr(recover, "ThreadPoolExecutor", Backwards)
    tree, *_ = fit_problem(problem, prior=False)
    for group in ("latent", "coefficients"):
        xr.testing.assert_identical(tree[group].to_dataset(), fitted.tree[group].to_dataset())


# --- the prior -----------------------------------------------------------------------------------


def test_the_prior_comes_with_the_posterior(fitted: Posterior, problem: Problem) -> None:
    prior = fitted.tree["prior"].to_dataset()
    posterior = fitted.tree["posterior"].to_dataset()
    assert dict(prior["sd_corridor"].sizes) == {"chain": 1, "draw": 400}
    assert set(prior.data_vars) == set(posterior.data_vars)
    for name in prior.data_vars:
        assert prior[name].dims == posterior[name].dims
    # Normal priors with known moments: 400 draws, five standard errors.
    shape, (median, spread) = (
        problem.spec.measurement.duration_0_to_3.shape,
        problem.spec.measurement.duration_0_to_3.numbers,
    )
    assert shape == "log_normal"
    logs = np.log(prior["duration_increment"].sel(step="0_to_3"))
    assert abs(float(logs.mean()) - median) < 5.0 * spread / 20.0


def test_prior_predictive_reports_are_whole_counts(fitted: Posterior, problem: Problem) -> None:
    log_report = fitted.tree["prior_predictive"]["log_report"]
    assert dict(log_report.sizes) == {"sample": 100, "report": problem.reports.n}
    count = np.exp(log_report.to_numpy()) - 0.5
    assert (count > -1e-9).all()
    np.testing.assert_allclose(count, np.round(count), rtol=1e-9, atol=1e-9)
    assert log_report.std("sample").min() > 0


def test_the_prior_can_be_left_out_and_changes_nothing(
    nuts: StandardNormal, fitted: Posterior, problem: Problem
) -> None:
    tree, *_ = fit_problem(problem, prior=False)
    assert set(fitted.tree.children) - set(tree.children) == {"prior", "prior_predictive"}
    for group in tree.children:
        xr.testing.assert_identical(tree[group].to_dataset(), fitted.tree[group].to_dataset())


# --- what is said about it -----------------------------------------------------------------------


def test_info_says_what_the_fit_rests_on(fitted: Posterior, files: Path) -> None:
    info = fitted.info
    assert (info["seed"], info["overrides"], info["codes"]) == (3, {}, "declared")
    assert info["inputs"] == {
        f"{name}.csv": hashlib.sha256((files / f"{name}.csv").read_bytes()).hexdigest()
        for name in ("observations", "places", "corridors")
    }
    assert set(info["timings"]) == {"compile", "mode", "sample", "simulate"}
    assert all(seconds >= 0 for seconds in info["timings"].values())
    assert info["site_rounds"] >= 1
    assert info["sites_settled"] in (True, False)
    assert {"flowcast", "numpy", "nutpie", "pymc"} <= set(info["versions"])
    assert info["versions"]["numpy"] == np.__version__
    assert info["notes"] == []


def test_info_is_plain_enough_for_a_manifest(fitted: Posterior) -> None:
    assert json.loads(json.dumps(fitted.info)) == fitted.info


def test_independent_draws_pass_the_gate(fitted: Posterior) -> None:
    assert fitted.gate.passed, fitted.gate.failures
    assert fitted.gate.worst["divergences"] == 0


def test_progress_is_told_on_standard_error_only(
    nuts: StandardNormal, problem: Problem, capsys: pytest.CaptureFixture[str]
) -> None:
    fit_problem(problem, prior=False)
    assert capsys.readouterr() == ("", "")
    _, _, _, remarks = fit_problem(problem, prior=False, progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("mode, round") == remarks["site_rounds"]
    assert said.err.count("done in") == 2  # chains, and coefficients
    assert nuts.asked["progress_bar"] is False


# --- when it goes wrong --------------------------------------------------------------------------


@pytest.mark.usefixtures("little_prior")
def test_a_posterior_that_did_not_converge_is_returned_and_says_so(
    nuts: StandardNormal, world: SimulatedWorld, files: Path
) -> None:
    nuts.change = lambda z, number: z + 3.0 * number
    posterior = run(world.problem.spec, files)
    assert not posterior.gate.passed
    assert posterior.gate.worst["max_rhat"] > 1.3
    named = {failure.split(":")[0] for failure in posterior.gate.failures}
    assert named <= set(posterior.diagnostics["parameter"])
    bad = posterior.diagnostics["rhat"] >= 1.3
    assert set(posterior.diagnostics.loc[bad, "parameter"]) <= named
    assert "NOT PASSED" in repr(posterior)


def test_divergent_transitions_are_counted_and_fail_the_gate(
    nuts: StandardNormal, problem: Problem
) -> None:
    nuts.diverging = (3, 59)
    tree, gate, _, _ = fit_problem(problem, prior=False)
    assert gate.failures == ("4 divergent transitions",)
    found = np.argwhere(tree["sample_stats"]["diverging"].to_numpy()).tolist()
    assert found == [[0, 3], [0, 59], [1, 3], [1, 59]]


def cut_short(z: NDArray[np.float64], _: int) -> NDArray[np.float64]:
    return z[:, :41]


def half_written(z: NDArray[np.float64], _: int) -> NDArray[np.float64]:
    return np.where(np.arange(z.shape[1])[:, None] < 41, z, np.nan)


@pytest.mark.parametrize("change", [cut_short, half_written])
def test_an_interrupted_sampler_interrupts_the_fit(
    nuts: StandardNormal,
    problem: Problem,
    change: Callable[[NDArray[np.float64], int], NDArray[np.float64]],
) -> None:
    """The sampler answers Ctrl+C with what it has; that is no posterior."""
    nuts.change = change
    with pytest.raises(KeyboardInterrupt):
        fit_problem(problem, prior=False)


# --- places that do not exist all the time -------------------------------------------------------

MONTENEGRO = [("AT", "DE", 2005), ("DE", "AT", 2006), ("AT", "ME", 2007), ("ME", "DE", 2007)]


@pytest.mark.usefixtures("little_prior")
def test_flows_of_places_that_did_not_exist_are_missing(nuts: StandardNormal) -> None:
    """Montenegro was independent from June 2006: nothing in 2005, flows in 2006 and 2007."""
    table = pd.DataFrame(MONTENEGRO, columns=["origin", "destination", "year"]).assign(
        source="reg", family="administrative", measure="flow", value=40, reporter="destination"
    )
    spec = ModelSpec(name="mine", sampler=SAMPLER)
    posterior = estimate(spec, observations_from_frame(table, name="folder/reg.csv"))
    flow = posterior.log_flow
    for k, pair in enumerate(zip(flow["origin"].values, flow["destination"].values, strict=True)):
        missing = np.isnan(flow[:, :, k].to_numpy()).all(axis=(0, 1))
        finite = np.isfinite(flow[:, :, k].to_numpy()).all(axis=(0, 1))
        assert missing.tolist() == (~finite).tolist() == ["ME" in pair, False, False]
    assert list(posterior.info["inputs"]) == ["reg.csv"]
    assert posterior.info["codes"] == "alpha2"
    assert posterior.info["notes"] == [
        "4 reports without a duration criterion were taken as 12 months"
    ]
