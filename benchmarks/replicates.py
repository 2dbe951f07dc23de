"""Run many replicates, two at a time, so that a run that was stopped goes on where it was."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from flowcast._atomic import atomic_file

__all__ = ["fill_section", "read_finished", "run_replicates"]

MAX_FAILED = 5
"""After so many failures a run stops: the fault is hardly in the worlds."""
TOLD = 200


def read_finished(file: Path) -> pd.DataFrame:
    """Return the rows of all replicates that were written whole; empty if there is no file.

    Every row says in `rows` how many its replicate has, so that one cut off in the middle, or a
    last line cut off, is known as such.
    """
    if not file.is_file():
        return pd.DataFrame()
    frame = pd.read_csv(file, on_bad_lines="skip", keep_default_na=False, na_values=[""])
    if frame.empty:
        return frame
    size = frame.groupby("replicate")["replicate"].transform("size")
    whole = frame[frame["rows"].eq(size) & frame.notna().all(axis=1)]
    return whole[whole.groupby("replicate")["rows"].transform("size").eq(whole["rows"])]


def _settle(file: Path, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Check that the file belongs to these settings, and drop what is not whole."""
    stamp = file.with_suffix(".json")
    if file.is_file():
        there = json.loads(stamp.read_text(encoding="utf-8")) if stamp.is_file() else {}
        if there != dict(settings):
            raise SystemExit(f"({file}) | found replicates of {there}; allowed: {dict(settings)}")
    done = read_finished(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(stamp) as part:
        part.write_text(json.dumps(dict(settings), indent=1) + "\n", encoding="utf-8")
    if file.is_file():
        with atomic_file(file) as part:
            done.to_csv(part, index=False)
    return done


def _append(file: Path, frame: pd.DataFrame, seed: int) -> None:
    whole = frame.assign(replicate=seed, rows=len(frame))
    empty = not file.is_file() or not file.stat().st_size
    with file.open("a", encoding="utf-8") as stream:
        stream.write(whole.to_csv(index=False, header=empty))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def run_replicates(
    work: Callable[..., pd.DataFrame],
    seeds: Iterable[int],
    *,
    file: Path,
    settings: Mapping[str, Any],
    jobs: int = 2,
) -> pd.DataFrame:
    """Run the replicates that are not in the file yet, appending each as it is done.

    Parameters
    ----------
    work
        Called as ``work(seed=seed, **settings)`` in another process; returns a table without
        missing values. A module's function.
    seeds
        One replicate each.
    file
        CSV file of all rows, with columns `replicate` and `rows` added. Beside it a JSON file has
        the settings, so that two runs are never mixed.
    settings
        What else `work` is given, plain values.
    jobs
        Processes at a time.

    Returns
    -------
    DataFrame
        All rows of the given seeds, those of earlier runs included.

    Raises
    ------
    SystemExit
        If the file holds replicates of other settings, or if a replicate failed; the others are
        kept, and the next run tries it again. After five failures nothing new is begun.
    """
    seeds = list(seeds)
    finished = _settle(file, settings)
    done = set() if finished.empty else set(finished["replicate"]) & set(seeds)
    left = [s for s in seeds if s not in done]
    failed: dict[int, str] = {}
    start = time.perf_counter()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        call = partial(work, **settings)
        futures: dict[Future[pd.DataFrame], int] = {pool.submit(call, seed=s): s for s in left}
        for count, future in enumerate(as_completed(futures), start=1):
            seed = futures[future]
            if (error := future.exception()) is not None:
                failed[seed] = f"{type(error).__name__}: {error}"
                print(f"replicate {seed} failed: {failed[seed][:TOLD]}", flush=True)
                if len(failed) == MAX_FAILED:
                    pool.shutdown(wait=False, cancel_futures=True)
                    break
            else:
                _append(file, future.result(), seed)
            rate = (time.perf_counter() - start) / count
            print(
                f"{len(done) + count} of {len(seeds)} replicates; "
                f"{_minutes(rate * (len(left) - count))} left",
                flush=True,
            )
    if failed:
        told = "; ".join(f"{seed} ({why[:TOLD]})" for seed, why in failed.items())
        raise SystemExit(f"({file}) | {len(failed)} replicates failed: {told}")
    rows = read_finished(file)
    return rows[rows["replicate"].isin(seeds)]


def fill_section(page: str, name: str, content: str) -> str:
    """Return a page with what stands between two comment lines replaced.

    Parameters
    ----------
    page
        Markdown with the lines ``<!-- name: begin -->`` and ``<!-- name: end -->``.
    name
        Of the section.
    content
        What is to stand there.

    Raises
    ------
    ValueError
        If the page has no such section.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"(page) | found no section {name!r}; allowed: lines {begin} and {end}")
    head, rest = page.split(begin)
    return f"{head}{begin}\n\n{content.strip()}\n\n{end}{rest.split(end)[1]}"
