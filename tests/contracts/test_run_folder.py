"""The run folder: what is in it, that it is whole or absent, and that changes are noticed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from support import single_precision, stored_posterior, tiny_posterior

import flowcast
from flowcast.checking import check_path
from flowcast.config import dump_model, read_model
from flowcast.errors import InputError, UsageError
from flowcast.estimates import summarise
from flowcast.persistence import check_run, is_run, read_run, require_free, write_run
from flowcast.posterior import GateResult, Posterior
from flowcast.vocabulary import DEFAULT_PROBS, ESTIMATE_COLUMNS, ESTIMATE_MEASURES

ROOT = Path(__file__).resolve().parents[2]
FILES = {"posterior.nc", "model.yaml", "manifest.json", "diagnostics.csv", "estimates.parquet"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def manifest_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return tiny_posterior(info={"overrides": {"sampler.draws": 40}})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, posterior: Posterior) -> Path:
    return write_run(posterior, tmp_path_factory.mktemp("written") / "runs" / "tiny")


@pytest.fixture
def run(tmp_path: Path, written: Path) -> Path:
    """A run of one's own to spoil."""
    copytree(written.parent, tmp_path / "runs")
    return tmp_path / "runs" / "tiny"


def test_the_folder_holds_exactly_what_was_promised(run: Path) -> None:
    assert names(run) == FILES
    assert names(run.parent) == {"tiny"}


def test_xarray_alone_reads_the_posterior(run: Path, posterior: Posterior) -> None:
    with xr.open_datatree(run / "posterior.nc") as tree:
        assert set(tree.children) == set(posterior.tree.children)
        assert set(tree["cells"]["evidence"].values.ravel()) == {
            "both_reports",
            "one_report",
            "none",
            "one_report+survey",
        }
        assert "NA" in tree["latent"]["origin"].values
        starts = tree["latent"]["period_start"].values.astype("datetime64[D]").astype(str)
        assert starts.tolist() == ["2020-01-01", "2021-01-01"]


def test_a_run_reads_back_as_it_was(run: Path, posterior: Posterior) -> None:
    back = read_run(run)
    assert set(back.tree.children) == set(posterior.tree.children)
    for name, group in posterior.tree.children.items():
        xr.testing.assert_equal(
            back.tree[name].to_dataset(), group.to_dataset().map(as_text, keep_attrs=True)
        )
    assert dump_model(back.spec) == dump_model(posterior.spec)
    assert back.gate == posterior.gate
    pd.testing.assert_frame_equal(back.diagnostics, posterior.diagnostics)
    for key, value in posterior.info.items():
        assert back.info[key] == value or key == "versions"
    assert posterior.info["versions"].items() <= back.info["versions"].items()


def as_text(array: xr.DataArray) -> xr.DataArray:
    return array.astype(str) if array.dtype == object else array


def test_the_manifest_says_what_the_run_rests_on(run: Path, posterior: Posterior) -> None:
    manifest = manifest_of(run)
    assert manifest["schema_version"] == 1
    assert manifest["status"] == "finished"
    assert manifest["flowcast"] == flowcast.__version__
    assert manifest["model"] == "tiny"
    assert manifest["seed"] == 1
    assert manifest["inputs"] == posterior.info["inputs"]
    assert manifest["overrides"] == {"sampler.draws": 40}
    assert manifest["timings"] == posterior.info["timings"]
    assert {"python", "numpy", "xarray", "pandas"} <= set(manifest["versions"])
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["gate"]["passed"] is True


def test_the_manifest_has_its_keys_even_if_nothing_is_known(tmp_path: Path) -> None:
    bare = replace(tiny_posterior(2, 1), info={})
    manifest = manifest_of(write_run(bare, tmp_path / "run"))
    assert {"seed", "inputs", "overrides", "timings", "versions"} <= set(manifest)


def test_the_manifest_hashes_every_other_file(run: Path) -> None:
    files = manifest_of(run)["files"]
    assert set(files) == FILES - {"manifest.json"}
    for name, told in files.items():
        data = (run / name).read_bytes()
        assert told == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_info_cannot_overwrite_what_the_manifest_says_itself(tmp_path: Path) -> None:
    forged = tiny_posterior(passed=False, info={"gate": {"passed": True}, "status": "great"})
    manifest = manifest_of(write_run(forged, tmp_path / "run"))
    assert manifest["status"] == "finished"
    assert manifest["gate"]["passed"] is False


def test_the_model_is_written_as_applied(run: Path, posterior: Posterior) -> None:
    raw = yaml.safe_load((run / "model.yaml").read_text(encoding="utf-8"))
    assert raw["sampler"]["seed"] == 1
    assert dump_model(read_model(run)) == dump_model(posterior.spec)


def test_estimates_are_all_four_measures_at_the_default_probabilities(
    run: Path, posterior: Posterior
) -> None:
    table = pd.read_parquet(run / "estimates.parquet")
    assert list(table.columns) == list(ESTIMATE_COLUMNS)
    assert set(table["measure"]) == set(ESTIMATE_MEASURES)
    assert set(table["prob"]) == set(DEFAULT_PROBS)
    assert len(table) == (12 + 3 * 4) * 2 * 3
    net = table[table["measure"] == "net"].reset_index(drop=True)
    pd.testing.assert_frame_equal(net, summarise(posterior, measure="net"))


def test_the_same_posterior_gives_the_same_bytes(tmp_path: Path, posterior: Posterior) -> None:
    first, second = (write_run(posterior, tmp_path / name) for name in ("a", "b"))
    third = write_run(read_run(first), tmp_path / "c")
    for name in FILES - {"manifest.json"}:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
        assert (first / name).read_bytes() == (third / name).read_bytes(), name


def test_tables_of_a_run_that_was_read_are_those_of_the_posterior(
    run: Path, posterior: Posterior
) -> None:
    texts = [summarise(source).to_csv(index=False) for source in (posterior, read_run(run))]
    assert texts[0] == texts[1]


def test_a_run_that_did_not_converge_is_written_and_marked(tmp_path: Path) -> None:
    failed = tiny_posterior(passed=False)
    run = write_run(failed, tmp_path / "run")
    assert manifest_of(run)["gate"] == {
        "passed": False,
        "failures": list(failed.gate.failures),
        "worst": dict(failed.gate.worst),
    }
    assert read_run(run).gate == failed.gate


def test_a_worst_value_that_is_not_a_number_survives(tmp_path: Path) -> None:
    gate = GateResult(False, ("sd: R-hat is not a number",), {"max_rhat": float("nan")})
    run = write_run(replace(tiny_posterior(2, 1), gate=gate), tmp_path / "run")
    assert manifest_of(run)["gate"]["worst"] == {"max_rhat": None}
    assert np.isnan(read_run(run).gate.worst["max_rhat"])


def test_extras_belong_to_the_run_and_are_hashed(tmp_path: Path, posterior: Posterior) -> None:
    def add(folder: Path) -> None:
        (folder / "figures").mkdir()
        (folder / "figures" / "a.txt").write_text("drawn")

    run = write_run(posterior, tmp_path / "run", extras=add)
    assert "figures/a.txt" in manifest_of(run)["files"]
    (run / "figures" / "a.txt").write_text("redrawn")
    with pytest.raises(InputError, match=r"a\.txt"):
        read_run(run)


def test_estimates_say_how_they_were_inferred(tmp_path: Path) -> None:
    told = {"method": "laplace", "exact": True}
    run = write_run(tiny_posterior(2, 1, info=told), tmp_path / "run")
    attrs = pd.read_parquet(run / "estimates.parquet").attrs
    assert attrs.items() >= {"model": "tiny", "unit": "persons per period", **told}.items()
    assert manifest_of(run).items() >= told.items()


# Latent flows that are too many for memory

STORE = "posterior.zarr"
PIECES = f"{STORE}/latent/log_flow/c"
"""Where the flows lie, in files named by chain, draw, block of corridors and period."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, posterior: Posterior) -> Posterior:
    return stored_posterior(
        posterior, tmp_path_factory.mktemp("work") / "draws.zarr", block_corridors=5
    )


@pytest.fixture(scope="module")
def written_store(tmp_path_factory: pytest.TempPathFactory, stored: Posterior) -> Path:
    return write_run(stored, tmp_path_factory.mktemp("large") / "runs" / "large")


@pytest.fixture
def large(tmp_path: Path, written_store: Path) -> Path:
    """A run with stored flows, of one's own to spoil."""
    copytree(written_store.parent, tmp_path / "runs")
    return tmp_path / "runs" / "large"


def test_stored_flows_make_a_store_of_the_whole_tree(large: Path) -> None:
    assert names(large) == FILES - {"posterior.nc"} | {STORE}
    pieces = {p.relative_to(large).as_posix() for p in (large / PIECES).rglob("*") if p.is_file()}
    assert pieces == {f"{PIECES}/{chain}/0/{block}/0" for chain in (0, 1) for block in (0, 1, 2)}
    files = (p for p in large.rglob("*") if p.is_file() and p.name != "manifest.json")
    assert set(manifest_of(large)["files"]) == {p.relative_to(large).as_posix() for p in files}


def test_xarray_alone_reads_the_store(large: Path, posterior: Posterior) -> None:
    with xr.open_datatree(large / STORE, engine="zarr") as tree:
        assert set(tree.children) == set(posterior.tree.children)
        flows = tree["latent"].to_dataset()["log_flow"]
        assert flows.dims == ("chain", "draw", "corridor", "period")
        np.testing.assert_array_equal(flows, posterior.log_flow.astype("float32"))
        assert "NA" in tree["latent"]["origin"].values
        assert "one_report+survey" in tree["cells"]["evidence"].values


def test_a_run_with_stored_flows_reads_back_as_it_was(large: Path, posterior: Posterior) -> None:
    back = read_run(large)
    assert not back.log_flow.variable._in_memory
    for name, group in single_precision(posterior).tree.children.items():
        expected = group.to_dataset().map(as_text, keep_attrs=True)
        assert back.tree[name].to_dataset().equals(expected), name
    assert dump_model(back.spec) == dump_model(posterior.spec)
    assert back.gate == posterior.gate
    check_run(large)


def test_stored_flows_give_the_same_tables(tmp_path: Path, large: Path, stored: Posterior) -> None:
    small = write_run(single_precision(tiny_posterior()), tmp_path / "small")
    tables = [pd.read_parquet(run / "estimates.parquet") for run in (small, large)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-12)
    again = write_run(read_run(large), tmp_path / "again")
    for name, told in manifest_of(large)["files"].items():
        assert manifest_of(again)["files"][name] == told, name


def test_flows_are_linked_into_the_run_and_outlive_their_first_place(
    tmp_path: Path, posterior: Posterior
) -> None:
    posterior = stored_posterior(posterior, tmp_path / "work", block_corridors=5)
    run = write_run(posterior, tmp_path / "run")
    piece = "latent/log_flow/c/0/0/0/0"
    assert (tmp_path / "work" / piece).samefile(run / STORE / piece)
    rmtree(tmp_path / "work")
    assert np.isfinite(read_run(run).log_flow.values).all()


def test_flows_are_copied_where_they_cannot_be_linked(
    tmp_path: Path, stored: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def refuse(source: str, target: str) -> None:
        if not str(source).endswith(".partial"):  # by which Zarr itself makes files whole
            raise OSError("another file system")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    run = write_run(stored, tmp_path / "run")
    np.testing.assert_array_equal(read_run(run).log_flow.values, stored.log_flow.values)


def test_a_selection_of_stored_flows_is_written_as_it_is(tmp_path: Path, stored: Posterior) -> None:
    groups = {name: node.to_dataset() for name, node in stored.tree.children.items()}
    groups["latent"] = groups["latent"].isel(draw=slice(0, 7))
    few = replace(stored, tree=xr.DataTree.from_dict(groups))
    run = write_run(few, tmp_path / "run")
    assert names(run) == FILES
    np.testing.assert_array_equal(read_run(run).log_flow, stored.log_flow[:, :7])


def test_flows_that_were_loaded_and_changed_are_written_as_they_are(
    tmp_path: Path, stored: Posterior
) -> None:
    groups = {name: node.to_dataset() for name, node in stored.tree.children.items()}
    groups["latent"] = groups["latent"].copy(deep=True).load()
    groups["latent"]["log_flow"].values[:] += 1.0
    run = write_run(replace(stored, tree=xr.DataTree.from_dict(groups)), tmp_path / "run")
    assert names(run) == FILES
    np.testing.assert_array_equal(read_run(run).log_flow, stored.log_flow.values + np.float32(1.0))


@pytest.mark.parametrize("name", [f"{PIECES}/0/0/1/0", f"{STORE}/latent/origin/zarr.json"])
def test_a_missing_file_of_a_store_is_noticed(large: Path, name: str) -> None:
    (large / name).unlink()
    assert f"{name}) | found no such file" in refused(large)


def test_a_file_added_to_a_store_is_noticed(large: Path) -> None:
    (large / PIECES / "0" / "0" / "7").mkdir()
    (large / PIECES / "0" / "0" / "7" / "0").write_bytes(b"?")
    with pytest.raises(InputError, match=r"c/0/0/7/0\) \| found a file that was added"):
        read_run(large)


def test_a_piece_of_another_size_is_noticed(large: Path) -> None:
    with (large / PIECES / "1" / "0" / "0" / "0").open("ab") as file:
        file.write(b"!")
    with pytest.raises(InputError, match=r"c/1/0/0/0\) \| found content with \d+ bytes"):
        read_run(large)


def test_a_changed_file_beside_the_flows_is_noticed(large: Path) -> None:
    path = large / STORE / "latent" / "log_flow" / "zarr.json"
    path.write_text(path.read_text().replace("12 months", "24 months"))
    assert "log_flow/zarr.json) | found content with hash" in refused(large)


def test_a_changed_piece_is_noticed_when_it_is_read_and_when_the_run_is_checked(
    large: Path,
) -> None:
    path = large / PIECES / "1" / "0" / "2" / "0"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"c/1/0/2/0\) \| found content with hash"):
        check_run(large)
    (checked,) = check_path(large)
    assert not checked.passed
    flows = read_run(large).log_flow
    assert np.isfinite(flows[0].values).all()
    with pytest.raises(ValueError, match="checksum"):
        _ = flows[1].values


def test_an_interrupted_link_leaves_nothing(
    tmp_path: Path, stored: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("flowcast._zarr.shutil.copytree", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_run(stored, tmp_path / "run")
    assert names(tmp_path) == set()


def test_a_run_with_stored_flows_is_replaced_whole(large: Path) -> None:
    write_run(tiny_posterior(3, 1), large, force=True)
    assert names(large) == FILES
    assert read_run(large).log_flow.sizes["corridor"] == 6


# Where a run may stand


def test_a_finished_run_is_replaced_only_if_told_to(run: Path) -> None:
    before = manifest_of(run)
    with pytest.raises(UsageError, match=r"found a finished run.*--force"):
        write_run(tiny_posterior(3, 1), run)
    assert manifest_of(run) == before
    write_run(tiny_posterior(3, 1), run, force=True)
    assert read_run(run).log_flow.sizes["corridor"] == 6
    assert names(run.parent) == {"tiny"}


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_run_is_never_replaced(
    tmp_path: Path, posterior: Posterior, force: bool
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("too")
    for name, found in (("mine", "a folder that is no finished run"), ("file", "a file")):
        with pytest.raises(UsageError, match=f"found {found}"):
            write_run(posterior, tmp_path / name, force=force)
    assert names(tmp_path) == {"mine", "file"}
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_may_become_a_run(tmp_path: Path, posterior: Posterior) -> None:
    (tmp_path / "run").mkdir()
    require_free(tmp_path / "run")
    assert is_run(write_run(posterior, tmp_path / "run"))


# What is refused


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_run(folder)
    assert not is_run(folder) or "hash" in str(caught.value) or "no such file" in str(caught.value)
    return str(caught.value)


def test_a_missing_run_is_refused_with_the_nearest_name(run: Path) -> None:
    text = refused(run.with_name("tinny"))
    assert "found no such folder" in text
    assert "tiny?" in text


def test_a_folder_without_manifest_is_refused(run: Path) -> None:
    (run / "manifest.json").unlink()
    assert "a folder without manifest.json" in refused(run)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("status", "running", "status) | found 'running'; allowed: 'finished'"),
        ("schema_version", 99, "schema_version) | found 99; allowed: 1"),
        ("files", None, "files) | found nothing"),
        ("files", {}, "no hash of posterior.nc"),
        ("gate", "passed", "gate) | found nothing"),
    ],
)
def test_a_manifest_that_is_not_of_a_finished_run_is_refused(
    run: Path, key: str, value: object, said: str
) -> None:
    (run / "manifest.json").write_text(json.dumps({**manifest_of(run), key: value}))
    assert said in refused(run)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_manifest_that_is_none_is_refused(run: Path, text: str) -> None:
    (run / "manifest.json").write_text(text)
    assert "manifest" in refused(run)


@pytest.mark.parametrize("name", sorted(FILES - {"manifest.json"}))
def test_a_changed_file_is_noticed(run: Path, name: str) -> None:
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run / name).write_bytes(data)
    text = refused(run)
    assert name in text
    assert "hash" in text


def test_all_changed_and_missing_files_are_told_at_once(run: Path) -> None:
    (run / "diagnostics.csv").unlink()
    (run / "model.yaml").write_text("name: other\n")
    text = refused(run)
    assert text.startswith("2 faults")
    assert "diagnostics.csv) | found no such file" in text
    assert "model.yaml) | found content with hash" in text


def test_files_added_by_the_user_do_not_matter(run: Path) -> None:
    (run / "notes.txt").write_text("looks fine")
    assert read_run(run).spec.name == "tiny"


# Interruptions


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize(
    "step",
    ["write_tree", "dump_model", "estimate_tables", "write_parts", "_manifest"],
)
def test_an_interruption_at_any_step_leaves_nothing(
    tmp_path: Path,
    posterior: Posterior,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    error: type[BaseException],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"flowcast.persistence.{step}", interrupt)
    with pytest.raises(error):
        write_run(posterior, tmp_path / "run")
    assert names(tmp_path) == set()


def test_an_interruption_leaves_the_old_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = manifest_of(run)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_run(tiny_posterior(3, 1), run, force=True, extras=interrupt)
    assert names(run.parent) == {"tiny"}
    assert manifest_of(run) == before
    read_run(run)


WRITER = """
import sys, time
from pathlib import Path
from support import single_precision, stored_posterior, tiny_posterior
from flowcast.persistence import write_run

def wait(folder):
    print("writing", flush=True)
    time.sleep(60)

write_run(tiny_posterior(), Path(sys.argv[1]), extras=wait)
"""


def stop_in_the_middle(target: Path, number: int) -> int:
    """Start a process that writes a run, send it a signal half-way, and return its exit status."""
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", WRITER, str(target)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        return process.wait(timeout=60)


def test_a_process_interrupted_while_writing_leaves_nothing(tmp_path: Path) -> None:
    assert stop_in_the_middle(tmp_path / "run", signal.SIGINT) != 0
    assert names(tmp_path) == set()


def test_a_process_killed_while_writing_leaves_no_run_and_no_hindrance(
    tmp_path: Path, posterior: Posterior
) -> None:
    target = tmp_path / "run"
    assert stop_in_the_middle(target, signal.SIGKILL) == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".run.partial-")
    assert "without manifest.json" in refused(left)
    assert "only what an interrupted run left" in refused(target)
    write_run(posterior, target)
    assert names(tmp_path) == {"run"}
    read_run(target)
