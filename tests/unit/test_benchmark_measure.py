"""What samplers and sizes are measured with: the worlds, and the arithmetic of the tables."""

import argparse
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.config import Sampler

NAMES = ("agreement", "measure", "plain", "samplers", "scale")
Modules = dict[str, ModuleType]


@pytest.fixture(scope="module")
def bench(repository: Path) -> Iterator[Modules]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(repository)
        yield {name: import_module(f"benchmarks.{name}") for name in NAMES}


# --- worlds --------------------------------------------------------------------------------------


def test_half_of_the_places_report_on_each_side_and_every_class_occurs(bench: Modules) -> None:
    plain = bench["plain"]
    world = plain.benchmark_world(12, 3, plain.plain_spec(Sampler()))
    table = world.observations
    for side in ("origin", "destination"):
        own = table[table["reporter"] == side]
        assert own[side].nunique() == 6
        assert set(own["accuracy_class"]) == {"high", "medium", "low"}
    assert 0.85 < len(table) / (2 * 6 * 11 * 3) < 0.95
    parts = world.problem.parts
    assert (parts.reporter_period, parts.series) == (False, False)
    assert parts.corridor
    assert parts.path
    noise = dict(zip(world.problem.labels["noise_class"], world.hyper["sd_noise"], strict=True))
    assert noise["emigration_high"] == noise["immigration_high"] == 0.1
    assert noise["immigration_low"] == 0.4


def test_the_heavy_world_has_small_counts_and_tails(bench: Modules) -> None:
    plain = bench["plain"]
    spec = plain.heavy_spec(Sampler(seed=4))
    value = plain.benchmark_world(20, 4, spec).problem.reports.value
    assert 0.15 < (value < 10).mean() < 0.5
    assert (value == 0).any()
    assert spec.measurement.counts == "poisson"
    assert (spec.tails.reports, spec.sampler.seed) == (4.0, 4)
    assert not spec.measurement.corridor_report_effects


# --- tables --------------------------------------------------------------------------------------


def draws(n: int = 4000) -> xr.Dataset:
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "a": (("chain", "draw"), rng.normal(2.0, 3.0, (2, n))),
            "b": (("chain", "draw", "side"), rng.normal(0.0, 1.0, (2, n, 2))),
        },
        {"side": ["immigration", "emigration"]},
    )


def test_independent_draws_have_the_errors_of_a_normal_sample(bench: Modules) -> None:
    table = bench["measure"].diagnose(draws())
    assert list(table.index) == ["a", "b[immigration]", "b[emigration]"]
    assert table.loc["a", "mean"] == pytest.approx(2.0, abs=0.15)
    assert table.loc["a", "mcse_mean"] == pytest.approx(3.0 / np.sqrt(8000), rel=0.1)
    assert table.loc["a", "mcse_sd"] == pytest.approx(3.0 / np.sqrt(2 * 8000), rel=0.1)
    assert (table["rhat"] < 1.01).all()


def test_weighted_means_have_the_errors_of_their_effective_sizes(bench: Modules) -> None:
    diagnostics = pd.DataFrame(
        {"parameter": ["a"], "mean": [1.0], "sd": [2.0], "ess_bulk": [400.0], "ess_tail": [200.0]}
    )
    row = bench["measure"].from_weights(diagnostics).loc["a"]
    assert (row["mcse_mean"], row["mcse_sd"], row["ess"]) == (0.1, 0.1, 400.0)


def test_differences_are_in_combined_errors_whatever_the_order(bench: Modules) -> None:
    columns = ["mean", "sd", "mcse_mean", "mcse_sd"]
    one = pd.DataFrame([[1.0, 1.0, 0.3, 0.1], [0.0, 2.0, 0.1, 0.1]], ["a", "b"], columns)
    other = pd.DataFrame([[0.0, 2.0, 0.1, 0.1], [2.0, 1.0, 0.4, 0.1]], ["b", "a"], columns)
    found = bench["measure"].compare(one, other)
    assert found.loc["a", "z_mean"] == pytest.approx(-2.0)
    assert found.loc["b", ["z_mean", "z_sd"]].tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="'b'"):
        bench["measure"].compare(one, other.loc[["a"]])


def test_a_run_of_its_own_hands_back_what_it_wrote_or_why_it_did_not(
    bench: Modules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import json, sys, time\n"
        "task = json.loads(sys.argv[2])\n"
        "if task['n'] < 0: raise ValueError('negative')\n"
        "time.sleep(task['n'])\n"
        "json.dump({'n': task['n']}, open(task['out'], 'w'))\n"
    )
    (tmp_path / "pretended.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(bench["measure"], "GRACE", 1.0)
    run = bench["measure"].run_apart
    assert run("pretended", {"n": 0}, limit=60.0) == {"n": 0}
    failed = run("pretended", {"n": -1}, limit=60.0)["failed"]
    assert failed == "exit code 1: ValueError: negative"
    assert run("pretended", {"n": 60}, limit=1.0) == {"cut": "nothing came back in 2 s"}


def test_peak_memory_sees_an_array(bench: Modules) -> None:
    before = bench["measure"].peak_memory()
    assert 0.01 < before < 64.0
    held = np.ones(2**26)
    assert bench["measure"].peak_memory() > 0.5
    assert held[-1] == 1.0


# --- samplers ------------------------------------------------------------------------------------


def test_chains_that_were_cut_are_judged_by_the_draws_all_of_them_have(bench: Modules) -> None:
    samplers, data = bench["samplers"], draws(100)
    data["a"][1, 60:] = np.nan
    data["b"][0, :2, 1] = np.nan
    assert samplers.whole_draws(data, ["a", "b"]).sizes["draw"] == 58
    assert samplers.whole_draws(data, ["a"]).sizes["draw"] == 60
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.ones((2, 100)))})
    row = samplers.judge(samplers.Sampled(data, stats, 3.0, cut=True), ["a", "b"], 10.0)
    assert row["remark"] == "cut by the time limit after 58 draws a chain"
    assert 30 < row["ess"] < 300
    assert row["divergences"] == 200


def test_a_run_without_draws_says_so_and_has_no_rate(bench: Modules) -> None:
    samplers = bench["samplers"]
    row = samplers.judge(samplers.Sampled(None, None, np.nan, cut=True), ["a"], 10.0)
    line = samplers.finish({"size": "5x4", "form": "centred", "sampler": "pymc"}, row)
    assert line["remark"] == "cut by the time limit after 0 draws a chain"
    assert np.isnan(line["rate"])


def test_rates_are_with_and_without_compilation(bench: Modules) -> None:
    task = {"size": "5x4", "form": "centred", "sampler": "nutpie"}
    line = bench["samplers"].finish(task, {"ess": 60.0, "wall": 30.0, "compile": 20.0})
    assert (line["rate"], line["rate_warm"], line["remark"]) == (2.0, 6.0, "")


def test_each_size_is_run_by_each_sampler_in_each_form(bench: Modules) -> None:
    args = argparse.Namespace(
        size=None, samplers=["nuts", "pymc"], forms=["centred", "non-centred"], draws=1, tune=1,
        limit=1.0,
    )  # fmt: skip
    found = [(t["size"], t["sampler"], t["form"]) for t in bench["samplers"].tasks(args)]
    assert found[:3] == [
        ("12x8", "nuts", "collapsed"),
        ("12x8", "pymc", "centred"),
        ("12x8", "pymc", "non-centred"),
    ]
    assert {size for size, _, _ in found[3:]} == {"31x12"}


# --- scale ---------------------------------------------------------------------------------------


def test_exponents_of_a_known_law_are_found(bench: Modules) -> None:
    sizes = pd.DataFrame({"corridors": [10, 100, 10, 70], "periods": [5, 5, 20, 9]})
    sizes["cost"] = 3.0 * sizes["corridors"] ** 1.1 * sizes["periods"] ** 0.7
    found = bench["scale"].exponents(sizes, "cost")
    assert found == {"corridors": pytest.approx(1.1), "periods": pytest.approx(0.7)}
    along = sizes.assign(periods=2 * sizes["corridors"])
    with pytest.raises(ValueError, match="on their own"):
        bench["scale"].exponents(along, "cost")


def test_the_pass_over_the_data_is_a_normal_density(bench: Modules) -> None:
    residual, variance = np.array([1.0, -2.0]), np.array([0.5, 4.0])
    expected = -0.5 * (np.log(0.5) + np.log(4.0) + 1.0 / 0.5 + 4.0 / 4.0)
    assert bench["scale"].numpy_pass(residual, variance)() == pytest.approx(expected)


def test_rows_that_lack_a_figure_leave_its_cell_empty(bench: Modules) -> None:
    text = bench["scale"].show_rows([{"size": "5x4", "R-hat": 1.0012}, {"size": "6x4"}])
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert lines[0] == ["size", "5x4", "6x4"]
    assert lines[2] == ["R-hat", "1", ""]


# --- agreement -----------------------------------------------------------------------------------


def test_agreement_is_judged_by_the_farthest_parameter_and_the_share_of_flows(
    bench: Modules,
) -> None:
    hyper = pd.DataFrame({"z_mean": [1.0, -2.5], "z_sd": [0.0, -2.9]})
    flows = pd.DataFrame({"z_mean": [0.0, -4.0, 3.0, 1.0], "z_sd": 9.0})
    worst = bench["agreement"].Agreement(hyper, flows).worst()
    assert worst == {"hyper": 2.9, "flows": 4.0, "share": 0.25}
