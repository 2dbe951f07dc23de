"""`flowcast publish`: what is refused, what is written, and that it is the same a second time."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import tiny_posterior
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.errors import InputError
from flowcast.persistence import write_run
from flowcast.publication import PublicationRefusedError, judge_release, publish
from flowcast.publication.judge import read_scorecard
from flowcast.tables import read_table, write_table
from flowcast.validation import SCORECARD_COLUMNS
from flowcast.validation.scorecard import score_reports, summarise_scores

OWN = "0123456789abcdef"
N = 400


def rows_of(draws: np.ndarray, value: np.ndarray, rival: np.ndarray) -> list[dict[str, Any]]:
    """Return the rows of all folds of a scorecard, as the cross-validation makes them."""
    reports = pd.DataFrame(
        {
            "value": value, "reporter": "origin", "horizon": 0, "year": 2020,
            "corridor": [f"{k % 40}" for k in range(N)], "series": "s", "region": None,
            "duration": "12", "undercount": None, "accuracy": None, "fold": "1",
        }
    )  # fmt: skip
    model, other = (score_reports(one, value, 1, 50.0) for one in (draws, rival))
    found = summarise_scores(reports, model, {"persistence": other}, every_fold=True)
    return [row._asdict() for row in found]


def scorecard(narrow: float = 1.0, *, fingerprint: str = OWN, gate: float = 1.0) -> pd.DataFrame:
    """Return the scorecard of a right model whose sd is multiplied by `narrow`."""
    rng = np.random.default_rng(7)
    centre = rng.normal(5.0, 1.0, N)
    value = np.exp(rng.normal(centre, 0.5)).round()
    noise = rng.standard_normal((400, N))
    draws = np.exp(centre + narrow * 0.5 * noise)
    rival = np.exp(5.0 + 1.2 * rng.standard_normal((400, N)))
    frame = pd.DataFrame(rows_of(draws, value, rival)).assign(scheme="random", fold="all")
    about = {"scheme": "random", "fold": "1", "indicator": "fit"}
    whole = {**about, "fold": "all", "indicator": "reports"}
    counts = {"tail_from": 50.0, "n_not_predicted": 0.0, "n_left_out": 0.0}
    last = [
        {**about, "metric": "gate_passed", "value": gate},
        *({**whole, "metric": metric, "value": value} for metric, value in counts.items()),
    ]
    frame = pd.concat([frame, pd.DataFrame(last)], ignore_index=True)
    frame["against"] = frame["against"].where(frame["against"] != "")
    named = frame.assign(apart=False, model="mine", fingerprint=fingerprint)
    return named[list(SCORECARD_COLUMNS)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    info = {"fingerprint": OWN, "sources": ["eurostat_migr_imm5prv", "my_office"]}
    return write_run(tiny_posterior(info=info), tmp_path / "run")


def kept(card: pd.DataFrame, folder: Path, name: str = "card.csv") -> Path:
    write_table(card, folder / name)
    return folder / name


def flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_validated_run_is_published_and_every_file_has_its_hash(
    run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "release"
    result = flowcast("publish", run, "--out", out, "--scorecard", kept(scorecard(), tmp_path))
    assert result.exit_code == 0, result.output
    sums = dict(
        reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines()
    )
    names = {path.name for path in out.iterdir()} - {"SHA256SUMS"}
    assert set(sums) == names
    for name, digest in sums.items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert {"flow.csv", "net.parquet", "scorecard_random.html", "model.yaml"} <= names
    table = read_table(out / "net.csv")
    assert set(table["prob"]) == {0.8, 0.95}
    told = json.loads((out / "provenance.json").read_text())
    assert told["fingerprint"] == OWN
    assert [source["id"] for source in told["sources"]] == ["eurostat_migr_imm5prv", "my_office"]
    assert told["sources"][0]["licence"] == "CC BY 4.0"
    assert set(told["run"]) == {path.name for path in run.iterdir() if path.name != "manifest.json"}
    assert "should not" not in (out / "README.md").read_text()


def test_the_same_release_twice_has_the_same_bytes(run: Path, tmp_path: Path) -> None:
    card = kept(scorecard(), tmp_path)
    for name in ("first", "second"):
        publish(run, tmp_path / name, scorecards=[card])
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("first", "second")
    )
    assert first == second


def test_a_policy_hides_small_cells_and_the_release_says_so(run: Path, tmp_path: Path) -> None:
    card, policy = kept(scorecard(), tmp_path), tmp_path / "policy.yaml"
    policy.write_text("name: the office\nminimum_cell: 30\n")
    for name in ("first", "second"):
        result = flowcast(
            "publish", run, "--out", tmp_path / name, "--scorecard", card, "--policy", policy
        )
        assert result.exit_code == 0, result.output
    out = tmp_path / "first"
    assert all(
        path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()
        for path in out.iterdir()
    )
    flow = read_table(out / "flow.csv")
    hidden = flow["disclosure"] == "suppressed"
    assert 0 < hidden.sum() < len(flow)
    assert flow.loc[hidden, ["mean", "median", "sd", "lower", "upper"]].isna().all().all()
    assert (flow.loc[~hidden, "mean"] >= 30.0).all()
    pd.testing.assert_frame_equal(pd.read_parquet(out / "flow.parquet"), flow, check_dtype=False)
    assert "Counts below 30 persons (the office) are protected" in (out / "README.md").read_text()
    assert json.loads((out / "provenance.json").read_text())["disclosure"]["minimum_cell"] == 30
    assert "disclosure" in pd.read_csv(out / "data_dictionary.csv")["column"].tolist()
    policy.write_text("minimum_cell: 30\nmethod: round\nbase: 60\n")
    publish(run, tmp_path / "rounded", scorecards=[card], policy=policy)
    assert (read_table(tmp_path / "rounded" / "net.csv")["mean"] % 60.0 == 0.0).all()
    assert "multiples of 60" in (tmp_path / "rounded" / "README.md").read_text()


def test_a_wrong_policy_is_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    card, policy = kept(scorecard(), tmp_path), tmp_path / "policy.yaml"
    policy.write_text("minimum_cells: 30\n")
    result = flowcast(
        "publish", run, "--out", tmp_path / "release", "--scorecard", card, "--policy", policy
    )
    assert result.exit_code == 1
    assert "did you mean minimum_cell" in result.output
    assert not (tmp_path / "release").exists()


def test_an_overconfident_model_is_refused_and_the_release_says_so_if_forced(
    run: Path, tmp_path: Path
) -> None:
    out, card = tmp_path / "release", kept(scorecard(narrow=0.5), tmp_path)
    result = flowcast("publish", run, "--out", out, "--scorecard", card)
    assert result.exit_code == 1
    assert "80 % intervals hold" in result.output
    assert not out.exists()
    forced = flowcast("publish", run, "--out", out, "--scorecard", card, "--force")
    assert forced.exit_code == 0
    text = (out / "README.md").read_text()
    assert "Published although it should not be" in text
    assert "80 % intervals hold" in text
    assert json.loads((out / "provenance.json").read_text())["validation"]["passed"] is False


def test_a_run_without_validation_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(PublicationRefusedError, match="there is no scorecard"):
        publish(run, tmp_path / "release")


def test_a_run_that_did_not_converge_is_refused(tmp_path: Path) -> None:
    posterior = tiny_posterior(passed=False, info={"fingerprint": OWN})
    judgement = judge_release(posterior, [scorecard()])
    assert any("convergence gate" in reason for reason in judgement.reasons)


def test_a_scorecard_of_other_data_or_of_unconverged_fits_does_not_count(tmp_path: Path) -> None:
    posterior = tiny_posterior(info={"fingerprint": OWN})
    (other,) = judge_release(posterior, [scorecard(fingerprint="f" * 16)]).reasons
    assert "another model or other data" in other
    (failed,) = judge_release(posterior, [scorecard(gate=0.0)]).reasons
    assert "the fit of fold 1 did not pass" in failed
    assert judge_release(posterior, [scorecard()]).passed
    (unknown,) = judge_release(tiny_posterior(), [scorecard()]).reasons
    assert "nothing says" in unknown


def test_what_stands_at_the_target_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="a new name"):
        publish(run, tmp_path / "release", scorecards=[kept(scorecard(), tmp_path)])
    assert [path.name for path in (tmp_path / "release").iterdir()] == ["mine.txt"]


def test_every_fault_of_a_scorecard_is_named(tmp_path: Path) -> None:
    good = kept(scorecard(), tmp_path)
    assert read_scorecard(good)["value"].notna().any()
    assert not read_scorecard(good)["apart"].any()
    broken = pd.read_csv(good, dtype=str, keep_default_na=False)
    broken.loc[0, "value"] = "many"
    broken.loc[2, "metric"] = ""
    broken.to_csv(good, index=False)
    with pytest.raises(InputError) as caught:
        read_scorecard(good)
    assert {(fault.row, fault.column) for fault in caught.value.faults} == {
        (2, "value"),
        (4, "metric"),
    }
    broken.drop(columns=["se", "fingerprint"]).to_csv(good, index=False)
    with pytest.raises(InputError) as caught:
        read_scorecard(good)
    assert {fault.column for fault in caught.value.faults} == {"se", "fingerprint"}
