"""Many tasks at once: the same results wherever they run, whoever dies, whenever it is resumed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import fanout_tasks
import psutil
import pytest

import flowcast.fanout
from flowcast import _kept
from flowcast.errors import UsageError
from flowcast.fanout import TasksError, run_many

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = {f"task {k}": k for k in range(6)}
DOUBLED = {key: 2 * k for key, k in NUMBERS.items()}


def environment() -> dict[str, str]:
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def calls(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().split()] if log.exists() else []


def recorded(log: Path, numbers: range = range(4)) -> dict[str, tuple[str, int]]:
    return {f"task {k}": (str(log), k) for k in numbers}


# In this process


@pytest.mark.parametrize("workers", [0, 1])
def test_results_come_in_the_order_of_the_tasks(workers: int) -> None:
    found = run_many(fanout_tasks.double, NUMBERS, workers=workers)
    assert found == DOUBLED
    assert list(found) == list(NUMBERS)


def test_no_task_is_no_work() -> None:
    assert run_many(fanout_tasks.double, {}, workers=4) == {}


def test_one_process_needs_no_dask() -> None:
    code = """
        import sys, flowcast.fanout
        assert flowcast.fanout.run_many(len, {"a": [1], "b": [2, 3]}, workers=0) == {"a": 1, "b": 2}
        assert not {"dask", "distributed"} & set(sys.modules)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(command, env=environment(), check=True)


def test_all_that_is_refused_is_told_at_once_and_the_others_are_done(tmp_path: Path) -> None:
    with pytest.raises(TasksError) as caught:
        run_many(fanout_tasks.refuse, NUMBERS, workers=0, folder=tmp_path)
    assert set(caught.value.failures) == {"task 1", "task 3", "task 5"}
    assert str(caught.value).splitlines() == [
        "3 of 6 tasks failed",
        "  (task 1) | 1 fault",
        "    (numbers.csv) | found 1; allowed: an even number",
        "  (task 3) | 1 fault",
        "    (numbers.csv) | found 3; allowed: an even number",
        "  (task 5) | five is held out",
    ]
    assert caught.value.exit_code == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_a_fault_that_all_tasks_share_is_told_once() -> None:
    error = TasksError({"a": "no such file", "b": "no such file"}, 3, exit_code=2)
    assert str(error) == "2 of 3 tasks failed\n  (a, b) | no such file"
    assert error.exit_code == 2


def test_a_bug_is_not_dressed_up_and_says_which_task() -> None:
    with pytest.raises(OSError, match="no space left for 0") as caught:
        run_many(fanout_tasks.break_down, NUMBERS, workers=0)
    assert caught.value.__notes__ == ["in the task 'task 0'"]


def test_a_worker_with_other_code_is_refused() -> None:
    done = flowcast.fanout._perform(fanout_tasks.double, 2, "another version")
    assert done.result is None
    assert "another version of flowcast" in str(done.refused)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": -1}, "found -1"),
        ({"workers": 2, "scheduler": "tcp://127.0.0.1:1"}, "beside the scheduler"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no answer at tcp://127.0.0.1:1"),
        ({"scheduler": "nonsense://"}, "no answer at nonsense://"),
    ],
)
def test_wrong_usage_is_told(
    options: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flowcast.fanout, "CONNECT_SECONDS", 1)
    with pytest.raises(UsageError, match=said):
        run_many(fanout_tasks.double, NUMBERS, **options)  # type: ignore[arg-type]


def test_progress_goes_to_stderr_and_only_if_wanted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_many(fanout_tasks.double, NUMBERS, workers=0, folder=tmp_path)
    assert capsys.readouterr() == ("", "")
    more = NUMBERS | {"task 6": 6}
    run_many(fanout_tasks.double, more, workers=0, folder=tmp_path, progress=True, what="folds")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "folds: 6 of 7 were there already"
    assert err.splitlines()[-1].startswith("folds: 7 done in")


# Kept results


def test_what_is_kept_is_not_computed_again(tmp_path: Path) -> None:
    log, folder = tmp_path / "log", tmp_path / "kept"
    for numbers, so_far in ((range(2), [0, 1]), (range(4), [0, 1, 2, 3]), (range(4), [0, 1, 2, 3])):
        tasks = recorded(log, numbers)
        found = run_many(fanout_tasks.record, tasks, workers=0, folder=folder)
        assert found == {f"task {k}": 2 * k for k in numbers}
        assert calls(log) == so_far


def test_other_code_another_function_and_another_task_are_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = (str(tmp_path / "log"), 1)
    paths = [
        _kept.result_path(tmp_path, "a", fanout_tasks.record, task),
        _kept.result_path(tmp_path, "a", fanout_tasks.die_once, task),
        _kept.result_path(tmp_path, "a", fanout_tasks.record, (task[0], 2)),
        _kept.result_path(tmp_path, "a", len, task),
        _kept.result_path(tmp_path, "a", lambda one: one, task),
    ]
    monkeypatch.setattr(_kept, "code_version", lambda: "changed")
    paths.append(_kept.result_path(tmp_path, "a", fanout_tasks.record, task))
    assert len(set(paths)) == len(paths)
    assert paths[0] != tmp_path
    assert all(path.parent == tmp_path for path in paths)


def test_a_name_with_slashes_stays_in_its_folder(tmp_path: Path) -> None:
    path = _kept.result_path(tmp_path, "../../a b/c", len, [1])
    assert path.parent == tmp_path
    assert path.name.startswith(".._.._a_b_c-")


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied"])
def test_a_damaged_result_is_computed_again(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log, folder = tmp_path / "log", tmp_path / "kept"
    run_many(fanout_tasks.record, recorded(log, range(1)), workers=0, folder=folder)
    (kept,) = folder.iterdir()
    content = kept.read_bytes()
    damaged = {"cut": content[:-1], "changed": content[:-1] + b"x", "emptied": b""}
    kept.write_bytes(damaged[damage])
    found = run_many(fanout_tasks.record, recorded(log, range(1)), workers=0, folder=folder)
    assert found == {"task 0": 0}
    assert calls(log) == [0, 0]
    assert "damaged" in capsys.readouterr().err
    assert kept.read_bytes() == content


def test_a_main_process_that_is_killed_resumes_with_what_is_missing(tmp_path: Path) -> None:
    """In another process, with other hashes of strings: what is kept is found all the same."""
    log, folder = tmp_path / "log", tmp_path / "kept"
    code = f"""
        import os, sys
        from pathlib import Path
        import fanout_tasks
        from flowcast import fanout
        def write(path, result, write=fanout.write_result):
            write(path, result)
            if len(list(path.parent.iterdir())) == 2:
                os.kill(os.getpid(), 9)
        fanout.write_result = write
        tasks = {{f"task {{k}}": ({str(log)!r}, k) for k in range(4)}}
        fanout.run_many(fanout_tasks.record, tasks, workers=0, folder=Path({str(folder)!r}))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    killed = subprocess.run(command, env=environment() | {"PYTHONHASHSEED": "7"}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert calls(log) == [0, 1]
    found = run_many(fanout_tasks.record, recorded(log), workers=0, folder=folder)
    assert found == {f"task {k}": 2 * k for k in range(4)}
    assert calls(log) == [0, 1, 2, 3]


# On processes of this machine


def test_a_worker_that_dies_loses_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "died"
    tasks = {key: (str(marker), k) for key, k in NUMBERS.items()}
    assert run_many(fanout_tasks.die_once, tasks, workers=2, folder=tmp_path / "kept") == DOUBLED
    assert marker.exists()
    assert len(list((tmp_path / "kept").iterdir())) == len(NUMBERS)


def test_workers_listen_on_loopback_only_and_compute_with_one_thread() -> None:
    found = run_many(fanout_tasks.surroundings, NUMBERS, workers=2).values()
    assert os.getpid() not in {process for process, _, _ in found}
    assert set().union(*(addresses for _, addresses, _ in found)) == {"127.0.0.1"}
    assert {threads for _, _, threads in found} == {1}


def test_faults_arrive_whole_from_another_process() -> None:
    with pytest.raises(TasksError) as caught:
        run_many(fanout_tasks.refuse, NUMBERS, workers=2)
    assert list(caught.value.failures) == ["task 1", "task 3", "task 5"]
    assert "found 3; allowed: an even number" in caught.value.failures["task 3"]


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_told_and_the_others_are_done(tmp_path: Path) -> None:
    with pytest.raises(TasksError) as caught:
        run_many(fanout_tasks.die_always, NUMBERS, workers=2, folder=tmp_path)
    assert "4 workers died" in caught.value.failures["task 0"]
    assert len(list(tmp_path.iterdir())) == len(NUMBERS) - len(caught.value.failures)


SCRIPT = """
import os, sys, time
from pathlib import Path
from flowcast.fanout import run_many

def wait(folder):
    (Path(folder) / f"pid-{os.getpid()}").touch()
    time.sleep(120)

run_many(wait, {"a": sys.argv[1], "b": sys.argv[1]}, workers=2)
"""


def test_ctrl_c_ends_the_workers_of_a_script_without_a_guard(tmp_path: Path) -> None:
    """The script does not run again in its workers, and none of them outlives it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("pid-*"))) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode in (1, 130, -signal.SIGINT)
    assert "KeyboardInterrupt" in told
    pids = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert len(pids) == 2
    workers = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    assert psutil.wait_procs(workers, timeout=10)[1] == []
