"""Settings and groups from the command line, and interruptions that must not be lost."""

import signal
from contextlib import suppress
from threading import Thread

import pytest
import typer

from flowcast._command import not_lost, parse_groups, parse_settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500", 500),
        ("0.95", 0.95),
        ("null", None),
        ("true", True),
        ("some text", "some text"),
        ("[a.csv, b.csv]", ["a.csv", "b.csv"]),
        ("{half_normal: 2}", {"half_normal": 2}),
        ("a=b", "a=b"),
        ("", None),
    ],
)
def test_a_setting_is_what_yaml_takes_it_for(text: str, value: object) -> None:
    assert parse_settings([f" x.y ={text}"]) == {"x.y": value}


@pytest.mark.parametrize("settings", [["x"], ["=3"], ["x=1", "x=2"], ["x={"]])
def test_a_setting_that_is_none_is_wrong_usage(settings: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_settings(settings)


@pytest.mark.parametrize(
    ("groups", "by"),
    [
        ([], None),
        (["EU27_2020"], ["EU27_2020"]),
        (["nordic", "DE"], ["nordic", "DE"]),
        (["a=SE, NO,", "b=DE"], {"a": ["SE", "NO"], "b": ["DE"]}),
        (["a=SE,NO", "DE"], {"a": ["SE", "NO"], "DE": ["DE"]}),
    ],
)
def test_groups(groups: list[str], by: object) -> None:
    assert parse_groups(groups) == by


@pytest.mark.parametrize("groups", [[""], ["=SE"], ["a="], ["a= ,"], ["a=SE", "a=NO"], ["a", "a"]])
def test_a_group_that_is_none_is_wrong_usage(groups: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        parse_groups(groups)


def stop_early() -> None:
    """Do what samplers do: take an interruption for a wish to stop with what there is."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interruption_that_a_library_swallows_is_raised_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), not_lost():
        stop_early()
    assert signal.getsignal(signal.SIGINT) is before


def test_without_an_interruption_nothing_happens() -> None:
    before = signal.getsignal(signal.SIGINT)
    with not_lost():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_an_error_is_not_hidden_by_the_interruption_before_it() -> None:
    with pytest.raises(ZeroDivisionError), not_lost():
        raise ZeroDivisionError


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work() -> None:
        with not_lost():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
