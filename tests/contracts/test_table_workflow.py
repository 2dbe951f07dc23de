"""From a run folder to tables, predictions, figures and comparisons, by commands alone.

What a command prints is read back with other programs and compared with the draws themselves.
"""

import io
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import corridors, laplace_posterior, tiny_posterior
from typer.testing import CliRunner, Result

from flowcast import persistence
from flowcast.cli import app
from flowcast.persistence import write_run
from flowcast.plots import PLOT_KINDS
from flowcast.posterior import Posterior
from flowcast.simulation import SimulatedWorld, simulate_world
from flowcast.vocabulary import ESTIMATE_COLUMNS

PLACES = ("AT", "DE", "FR", "NA")
MEASURES = ("flow", "immigration", "emigration", "net")
TEXT_FORMATS = ("csv", "html", "latex", "md", "json")


def flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(*arguments: object) -> str:
    """Return what a command that succeeds prints; it says nothing beside it."""
    done = flowcast(*arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def frame_of(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module", autouse=True)
def _read_once() -> Iterator[None]:
    """Read each run folder once: half a minute less, and no command may change what it read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(persistence, "read_run", cache(persistence.read_run))
        yield


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return tiny_posterior(PLACES, 2, seed=5)


@pytest.fixture(scope="module")
def run(posterior: Posterior, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(posterior, tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture(scope="module")
def persons(posterior: Posterior) -> dict[tuple[str, str, str], np.ndarray]:
    """Draws by origin, destination and first day."""
    values = np.exp(posterior.log_flow.transpose("chain", "draw", "corridor", "period").values)
    pairs = list(zip(*corridors(PLACES), strict=True))
    return {
        (start, end, day): values[:, :, c, t].ravel()
        for c, (start, end) in enumerate(pairs)
        for t, day in enumerate(("2020-01-01", "2021-01-01"))
    }


def draws_of(
    persons: dict[tuple[str, str, str], np.ndarray], measure: str, row: dict[str, object]
) -> np.ndarray:
    """Return the draws of a row of a table, added up one corridor after another."""
    total = np.zeros_like(next(iter(persons.values())))
    for (start, end, day), values in persons.items():
        if day != row["period_start"]:
            continue
        if measure == "flow":
            sign = int((start, end) == (row["origin"], row["destination"]))
        else:
            arrives = int(measure != "emigration" and end == row["destination"])
            place = row["origin"] if measure == "emigration" else row["destination"]
            leaves = int(measure in ("emigration", "net") and start == place)
            sign = arrives + leaves if measure != "net" else arrives - leaves
        total = total + sign * values
    return total


# --- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", MEASURES)
def test_every_number_of_a_table_is_that_of_its_draws(
    measure: str, run: Path, persons: dict[tuple[str, str, str], np.ndarray]
) -> None:
    table = frame_of(printed("table", run, "--measure", measure, "--prob", 0.9, "--prob", 0.5))
    assert len(table) == (12 if measure == "flow" else 4) * 2 * 2
    for row in table.to_dict("records"):
        draws = draws_of(persons, measure, row)
        tail = (1 - row["prob"]) / 2
        lower, median, upper = np.quantile(draws, [tail, 0.5, 1 - tail])
        found = [row[name] for name in ("mean", "median", "lower", "upper")]
        assert found == pytest.approx([draws.mean(), median, lower, upper], rel=1e-9), row
        assert row["kind"] == "equal_tailed"


@pytest.mark.parametrize("measure", ["flow", "net"])
@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_stdout_is_the_file_that_would_be_written(
    form: str, measure: str, run: Path, tmp_path: Path
) -> None:
    options = ["--measure", measure, "--prob", 0.8, "--format", form]
    done = flowcast("table", run, *options, "--out", tmp_path / "table")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"Written: {tmp_path / 'table'}\n"
    assert printed("table", run, *options) == (tmp_path / "table").read_text(encoding="utf-8")


@pytest.mark.parametrize("measure", MEASURES)
def test_parquet_workbook_and_json_hold_the_numbers_of_the_csv(
    measure: str, run: Path, tmp_path: Path
) -> None:
    expected = frame_of(printed("table", run, "--measure", measure))
    for suffix in ("parquet", "xlsx", "json"):
        out = tmp_path / f"table.{suffix}"
        assert flowcast("table", run, "--measure", measure, "--out", out).exit_code == 0
    found = {
        "parquet": pd.read_parquet(tmp_path / "table.parquet"),
        "xlsx": pd.read_excel(tmp_path / "table.xlsx", keep_default_na=False, na_values=[""]),
        "json": pd.DataFrame(json.loads((tmp_path / "table.json").read_text())["rows"]),
    }
    for table in found.values():
        assert tuple(table.columns) == ESTIMATE_COLUMNS
        for name in ("mean", "median", "sd", "lower", "upper", "prob"):
            np.testing.assert_allclose(table[name], expected[name], rtol=1e-14)
        for name in ("origin", "destination", "evidence"):
            cells = [
                column.astype(object).fillna("").tolist()
                for column in (table[name], expected[name])
            ]
            assert cells[0] == cells[1], name


@pytest.mark.parametrize("form", ["html", "latex", "md"])
def test_tables_for_readers_name_namibia_and_the_intervals(form: str, run: Path) -> None:
    text = printed("table", run, "--format", form, "--prob", 0.8).replace("\\", "")
    assert re.search(r"\bNA\b", text)
    assert "equal-tailed" in text
    assert "80" in text
    assert "confidence" not in text


def test_probabilities_come_in_order_and_nest(run: Path) -> None:
    options = [part for prob in (0.95, 0.5, 0.8) for part in ("--prob", prob)]
    table = frame_of(printed("table", run, *options))
    assert table["prob"].tolist() == [0.5, 0.8, 0.95] * 24
    wide = table.pivot(index=["origin", "destination", "period_start"], columns="prob")
    assert (wide["lower"][0.95] <= wide["lower"][0.8]).all()
    assert (wide["upper"][0.5] <= wide["upper"][0.8]).all()


def test_a_definition_multiplies_each_draw(run: Path, posterior: Posterior) -> None:
    """Six months instead of twelve count more by one increment; the mean tells by how much."""
    options = ["--prob", 0.5]
    twelve = frame_of(printed("table", run, *options))
    six = frame_of(printed("table", run, *options, "--definition", 6))
    steps = posterior.tree["posterior"]["duration_increment"].sel(step="6_to_12")
    factor = np.exp(steps.isel(draw=posterior.tree["latent"]["hyper_draw"].values[0]).values)
    flows = np.exp(posterior.log_flow.isel(corridor=0, period=0).values)
    assert twelve["mean"].iloc[0] == pytest.approx(flows.mean(), rel=1e-9)
    assert six["mean"].iloc[0] == pytest.approx((flows * factor).mean(), rel=1e-9)
    default = printed("table", run, *options)
    assert printed("table", run, *options, "--definition", 12) == default


def test_groups_of_ones_own_and_known_ones_agree(run: Path) -> None:
    """Of the four places Austria, Germany and France are in the Union."""
    known = frame_of(printed("table", run, "--measure", "net", "--by", "EU27_2020"))
    own = frame_of(printed("table", run, "--measure", "net", "--by", "EU27_2020=AT,DE,FR"))
    pd.testing.assert_frame_equal(known, own)
    namibia = frame_of(printed("table", run, "--measure", "net", "--by", "NA"))
    np.testing.assert_allclose(namibia["mean"], -known["mean"], rtol=1e-9)


@pytest.mark.parametrize("form", TEXT_FORMATS)
def test_nothing_but_the_table_is_printed_even_where_there_are_notes(form: str, run: Path) -> None:
    """Most members of the Union are not among the places: the table says so, stderr does not."""
    text = printed("table", run, "--measure", "net", "--by", "EU27_2020", "--format", form)
    starts = {"csv": "origin,destination,", "html": "<", "latex": "\\", "md": "", "json": "{"}
    assert text.startswith(starts[form])
    assert text.endswith("\n")
    assert "not among them" in text or form == "csv"


# --- comparisons ---------------------------------------------------------------------------------


def test_runs_in_either_order_tell_opposite_changes(run: Path, tmp_path: Path) -> None:
    flows = np.exp(tiny_posterior(PLACES, 2, seed=5).log_flow.values)
    doubled = write_run(tiny_posterior(PLACES, 2, seed=5, flows=2 * flows), tmp_path / "two")
    there = printed("compare", run, doubled, "--top", 1)
    back = printed("compare", doubled, run, "--top", 1)
    for text, names in ((there, (run, doubled)), (back, (doubled, run))):
        assert text.startswith(f"{names[0]} -> {names[1]}\n")
        assert "by a factor of 2 in the middle cell" in text
        assert "posterior sd: " in text
    assert " 0.693 " in f"{there} "
    assert " -0.693 " in f"{back} "


def test_a_run_compared_with_itself_has_not_changed(run: Path) -> None:
    text = printed("compare", run, run, "--top", 2)
    assert "factor of 1 in the middle cell; by more than 10% in 0 cells" in text
    assert "nothing known of what went in differs" in text
    assert "overlap 100% in the middle cell, none in 0 cells" in text


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx", "json"])
def test_a_run_agrees_with_its_own_table_in_every_format(
    suffix: str, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / f"published.{suffix}"
    assert flowcast("table", run, "--out", out).exit_code == 0
    assert "24 cells in both; 0 only in" in printed("compare", run, out)


def test_places_of_one_run_only_are_counted_on_its_side(run: Path, tmp_path: Path) -> None:
    """Three of the four places are in both: six of the twelve corridors, in two periods."""
    smaller = write_run(tiny_posterior(PLACES[:3], 2, seed=5), tmp_path / "three")
    there, back = printed("compare", run, smaller), printed("compare", smaller, run)
    assert f"12 cells in both; 12 only in {run}; 0 only in {smaller}\n" in there
    assert f"12 cells in both; 0 only in {smaller}; 12 only in {run}\n" in back


@pytest.mark.parametrize("command", ["table", "compare", "plot", "predict"])
def test_a_run_that_is_not_there_is_bad_input_for_every_command(
    command: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    more = {
        "table": [],
        "compare": [run],
        "plot": ["heatmap", "--out", "h.png"],
        "predict": ["--observations", "none.csv", "--out", "p.csv"],
    }
    done = flowcast(command, "nowhere", *more[command])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("flowcast: ")
    assert "nowhere" in done.stderr
    assert list(tmp_path.iterdir()) == []


# --- figures and predictions ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(PLOT_KINDS))
def test_every_kind_of_figure_is_written(kind: str, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures" / f"{kind}.svg"
    done = flowcast("plot", run, kind, "--out", out)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"Written: {out}\n")
    assert out.read_bytes().startswith(b"<?xml")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_figure_of_one_place_and_period_is_written(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "namibia.png"
    done = flowcast("plot", run, "reports", "--place", "NA", "--period", 2020, "--out", out)
    assert done.exit_code == 0, done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["reports", "--place", "NO"], "'NO'"),
        (["heatmap", "--place", "DE"], "place with heatmap"),
        (["heatmap", "--period", "1999"], "'1999'"),
    ],
)
def test_options_that_have_no_effect_are_wrong_usage(
    options: list[str], said: str, run: Path, tmp_path: Path
) -> None:
    done = flowcast("plot", run, *options, "--out", tmp_path / "f.png")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate_world(4, 2, seed=5)


@pytest.fixture(scope="module")
def fitted(world: SimulatedWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    posterior = laplace_posterior(world.problem, n_draws=40)
    return write_run(posterior, tmp_path_factory.mktemp("fitted") / "world")


def test_predictions_have_the_rows_given_in_their_order(
    world: SimulatedWorld, fitted: Path, tmp_path: Path
) -> None:
    rows = world.observations.sample(frac=0.5, random_state=2)
    rows.to_csv(tmp_path / "later.csv", index=False)
    options = ["--observations", tmp_path / "later.csv"]
    files = [tmp_path / name for name in ("p.csv", "again.csv", "other.csv")]
    for out, seed in zip(files, (3, 3, 4), strict=True):
        done = flowcast("predict", fitted, *options, "--out", out, "--seed", seed)
        assert (done.exit_code, done.stdout) == (0, ""), done.stderr
        assert done.stderr == f"Written: {out}\n"
    found = frame_of(files[0].read_text())
    assert found["value"].tolist() == rows["value"].astype(float).tolist()
    for name in ("origin", "destination", "reporter"):
        assert found[name].tolist() == rows[name].tolist()
    assert (found["q2.5"] <= found["q50"]).all()
    assert (found["q50"] <= found["q97.5"]).all()
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != files[2].read_bytes()


def test_predictions_of_places_outside_the_fit_are_refused(
    world: SimulatedWorld, fitted: Path, tmp_path: Path
) -> None:
    rows = world.observations.head(2).copy()
    rows["origin"] = "W99"
    rows.to_csv(tmp_path / "later.csv", index=False)
    options = ["--observations", tmp_path / "later.csv", "--out", tmp_path / "p.csv"]
    done = flowcast("predict", fitted, *options)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "W99" in done.stderr
    assert not (tmp_path / "p.csv").exists()
