"""Functions that tests run on workers, which import them by this module's name."""

import os
from pathlib import Path

import psutil
from threadpoolctl import threadpool_info

from flowcast.errors import Fault, HeldOutError, InputError


def double(number: int) -> int:
    return 2 * number


def refuse(number: int) -> int:
    """Double even numbers, and refuse odd ones."""
    if number == 5:
        raise HeldOutError("five is held out")
    if number % 2:
        raise InputError([Fault("numbers.csv", str(number), "an even number")])
    return 2 * number


def break_down(number: int) -> int:
    raise OSError(f"no space left for {number}")


def die_once(task: tuple[str, int]) -> int:
    """End the worker process the first time, as if somebody had killed it."""
    marker, number = Path(task[0]), task[1]
    if number == 0 and not marker.exists():
        marker.touch()
        os._exit(1)
    return 2 * number


def die_always(number: int) -> int:
    if number == 0:
        os._exit(1)
    return 2 * number


def surroundings(_: int) -> tuple[int, set[str], int]:
    """Return the process, the addresses it and its parent listen on, and its BLAS threads."""
    import numpy  # noqa: F401

    processes = [psutil.Process(), psutil.Process(os.getppid())]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    threads = max((pool["num_threads"] for pool in threadpool_info()), default=1)
    return os.getpid(), listening, threads


def record(task: tuple[str, int]) -> int:
    """Leave a line for each call, so that a test can count them."""
    with Path(task[0]).open("a") as file:
        file.write(f"{task[1]}\n")
    return 2 * task[1]
