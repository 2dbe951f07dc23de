"""Errors that name the place, what was found and what is allowed; all faults at once.

The wording is the same everywhere: ``where | found ..., allowed ..., did you mean ...?``
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "ConvergenceError",
    "Fault",
    "Faults",
    "FlowcastError",
    "HeldOutError",
    "InputError",
    "UsageError",
    "did_you_mean",
    "nearest",
    "require_word",
]


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name most like `name`, or None where nothing is alike."""
    by_fold = {str(a).casefold(): str(a) for a in allowed}
    hits = get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[hits[0]] if hits else None


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return the end of a message that suggests the nearest allowed name; nothing if none is near.

    Examples
    --------
    >>> did_you_mean("closd", ("closed", "open"))
    '; did you mean closed?'
    """
    hint = nearest(name, allowed)
    return f"; did you mean {hint}?" if hint else ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an input.

    Attributes
    ----------
    where
        File, or file and key path, as the user knows it.
    found, allowed
        What stands there, and what may stand there.
    row
        Row of the file as an editor counts it (the header is row 1), if it is a table.
    column
        Column or key.
    hint
        A suggestion: usually the nearest allowed name.
    """

    where: str
    found: str
    allowed: str = ""
    row: int | None = None
    column: str | None = None
    hint: str = ""

    def __str__(self) -> str:
        place = self.where
        if self.row is not None:
            place += f", row {self.row}"
        if self.column is not None:
            place += f", {self.column}"
        text = f"({place}) | found {self.found}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.hint:
            text += f"; did you mean {self.hint}?"
        return text


class FlowcastError(Exception):
    """Base of everything flowcast raises on purpose; `exit_code` is what the command returns."""

    exit_code = 1


class UsageError(FlowcastError):
    """A command or function was called in a way that cannot be served."""

    exit_code = 2


def require_word(name: str, given: object, allowed: Iterable[str]) -> None:
    """Refuse a word that is not among those allowed; `name` is that of the argument.

    Raises
    ------
    UsageError
        With the nearest allowed word.

    Examples
    --------
    >>> require_word("system", "closd", ("closed", "open"))
    Traceback (most recent call last):
    flowcast.errors.UsageError: (system) | found 'closd'; allowed: closed, open; did you mean
    closed?
    """
    words = [str(word) for word in allowed]
    if given not in words:
        also = did_you_mean(str(given), words)
        raise UsageError(f"({name}) | found {given!r}; allowed: {', '.join(words)}{also}")


class HeldOutError(FlowcastError):
    """A held-out source was about to enter a fit."""


class ConvergenceError(FlowcastError):
    """A result that did not pass the convergence gate was asked for something it may not do."""

    exit_code = 3


class InputError(FlowcastError):
    """Input was refused; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        n = len(self.faults)
        head = f"{n} fault{'' if n == 1 else 's'}"
        super().__init__("\n".join([head, *(f"  {fault}" for fault in self.faults)]))


class Faults:
    """Collects faults, so that a file's problems are all told together.

    Examples
    --------
    >>> faults = Faults("flows.csv")
    >>> faults.add("'-3'", "persons, 0 or more", row=7, column="value")
    >>> len(faults)
    1
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._faults: list[Fault] = []

    def __len__(self) -> int:
        return len(self._faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(
        self,
        found: str,
        allowed: str = "",
        *,
        row: int | None = None,
        column: str | None = None,
        hint: str | None = "",
        where: str | None = None,
    ) -> None:
        """Record one fault; `where` defaults to the collector's own place."""
        self._faults.append(Fault(where or self.where, found, allowed, row, column, hint or ""))

    def extend(self, faults: Iterable[Fault]) -> None:
        """Take over faults found elsewhere."""
        self._faults.extend(faults)

    def raise_if_any(self) -> None:
        """Raise `InputError` with every fault, in the order of the file, if there is one.

        Raises
        ------
        InputError
            Where at least one fault was recorded.
        """
        if self._faults:
            raise InputError(
                sorted(self._faults, key=lambda f: (f.where, f.row is not None, f.row or 0))
            )
