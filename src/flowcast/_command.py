"""What every command shares: errors to exit codes, interruptions, ``key=value`` settings."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import typer
from typer.core import TyperGroup

from flowcast._terminal import say
from flowcast.errors import FlowcastError, InputError

__all__ = [
    "Commands",
    "SubCommands",
    "all_faults",
    "not_lost",
    "parse_files",
    "parse_groups",
    "parse_settings",
    "require_word",
]

INPUT_EXIT: Final = 1
INTERRUPTED_EXIT: Final = 130
"""128 + SIGINT, as shells count."""
BROKEN_PIPE_EXIT: Final = 141
"""128 + SIGPIPE."""
DEBUG: Final = "--debug"


class SubCommands(TyperGroup):
    """A group of commands; errors become exit codes in the group above it."""

    def get_help_option(self, ctx: Any) -> Any:  # noqa: ANN401
        """Return ``--help`` with a default, without which typer would load pydantic to make one."""
        option = super().get_help_option(ctx)
        if option is not None and option.default is None:
            option.default = False
        return option


class Commands(SubCommands):
    """The group of all commands: what they raise becomes a message and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Take ``--debug`` anywhere on the line, not only before the command."""
        rest = [arg for arg in args if arg != DEBUG]
        return super().parse_args(ctx, rest if len(rest) == len(args) else [DEBUG, *rest])

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run a command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (FlowcastError, OSError, KeyboardInterrupt) as error:
            if ctx.params.get("debug") and not isinstance(error, BrokenPipeError):
                raise
            raise typer.Exit(_told(error)) from None
        return result


def _told(error: BaseException) -> int:
    """Say what happened, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        # What is still buffered has no reader; Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE_EXIT
    if isinstance(error, KeyboardInterrupt):
        say("\nflowcast: interrupted")
        return INTERRUPTED_EXIT
    if isinstance(error, FlowcastError):
        say(f"flowcast: {error}")
        return error.exit_code
    if not isinstance(error, OSError) or error.strerror is None:
        raise error
    say(f"flowcast: ({error.filename}) | {error.strerror}")
    return INPUT_EXIT


@contextmanager
def not_lost() -> Iterator[None]:
    """Interrupt even if a library swallows Ctrl-C, as samplers do to return what they have."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if seen:
        raise KeyboardInterrupt


@contextmanager
def all_faults(
    model: str,
    overrides: Mapping[str, Any],
    observations: Sequence[Path],
    places: Path | None,
    corridors: Path | None,
) -> Iterator[None]:
    """Tell the faults of every input of a fit, where one of them is refused."""
    try:
        yield
    except InputError as error:
        from flowcast.checking import check_inputs

        told = check_inputs(
            model, overrides, observations=observations, places=places, corridors=corridors
        )
        faults = [*(fault for checked in told for fault in checked.faults), *error.faults]
        raise InputError(dict.fromkeys(faults)) from None


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` settings; a value is what YAML takes it for.

    Raises
    ------
    typer.BadParameter
        If one is no ``key=value``, or a key is set twice.

    Examples
    --------
    >>> parse_settings(["sampler.draws=500", "tails.reports=null"])
    {'sampler.draws': 500, 'tails.reports': None}
    """
    import yaml

    found: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not key or not equals:
            raise typer.BadParameter(f"found {setting!r}; allowed: key=value", param_hint="--set")
        if key in found:
            raise typer.BadParameter(f"{key!r} is set twice", param_hint="--set")
        try:
            found[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise typer.BadParameter(f"{text!r} is no YAML value", param_hint="--set") from None
    return found


def parse_files(given: Sequence[str], option: str) -> dict[str, Path]:
    """Read ``name=file`` options.

    Raises
    ------
    typer.BadParameter
        If one is no ``name=file``, or a name is given twice.

    Examples
    --------
    >>> parse_files(["abel=estimates/abel.csv"], "--baseline-table")
    {'abel': PosixPath('estimates/abel.csv')}
    """
    found: dict[str, Path] = {}
    for one in given:
        name, _, text = (part.strip() for part in one.partition("="))
        if not name or not text:
            raise typer.BadParameter(f"found {one!r}; allowed: NAME=FILE", param_hint=option)
        if name in found:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint=option)
        found[name] = Path(text)
    return found


def parse_groups(groups: Sequence[str]) -> list[str] | dict[str, list[str]] | None:
    """Read groups: ids of groupings or codes, or ``name=AA,BB,...`` for groups of one's own.

    Where one has a name, the others stand for themselves: ``["north=SE,NO", "DE"]`` is north and
    Germany.

    Raises
    ------
    typer.BadParameter
        If a group has no name or no member, or a name is given twice.

    Examples
    --------
    >>> parse_groups(["EU27_2020"]), parse_groups(["north=SE,NO"])
    (['EU27_2020'], {'north': ['SE', 'NO']})
    """
    named: dict[str, list[str]] = {}
    for group in groups:
        name, equals, text = (part.strip() for part in group.partition("="))
        members = [code.strip() for code in text.split(",") if code.strip()] if equals else [name]
        if not name or not members:
            raise typer.BadParameter(f"found {group!r}; allowed: name=AA,BB", param_hint="--by")
        if name in named:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="--by")
        named[name] = members
    if not named:
        return None
    return named if any("=" in group for group in groups) else list(named)


def require_word(given: str | None, allowed: tuple[str, ...], option: str) -> None:
    """Refuse a word that is not among those allowed, naming the nearest; None is no word.

    Raises
    ------
    typer.BadParameter
        With the option's name.
    """
    from flowcast.errors import nearest

    if given is not None and given not in allowed:
        hint = nearest(given, allowed)
        told = f"found {given!r}; allowed: {', '.join(allowed)}"
        raise typer.BadParameter(
            told + (f"; did you mean {hint}?" if hint else ""), param_hint=option
        )
