"""Age groups: labels such as "0", "0-4" and "85+", and the exact ages that they stand for."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import Faults

__all__ = [
    "FIVE_YEAR_AGES",
    "HIGHEST_AGE",
    "AgeGroups",
    "age_groups",
    "parse_age",
    "respell",
]

FIVE_YEAR_AGES: Final = (*(f"{age}-{age + 4}" for age in range(0, 85, 5)), "85+")
"""The 18 groups of most publications."""
HIGHEST_AGE: Final = 100.0
"""Where an open group ends, unless said otherwise: hardly anybody older moves."""
OPEN_YEARS: Final = 5.0
"""The least width of an open group."""
ALLOWED: Final = "completed years, as 0, 0-4 or 85+"
LABEL: Final = re.compile(r"(\d{1,3})(?:\.0)?(?:-(\d{1,3})|(\+))?")
DASHES: Final = str.maketrans("\u2013\u2014\u2212\u2010", "----", " ")
MAX_TOLD: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class AgeGroups:
    """Contiguous age groups, from young to old.

    Attributes
    ----------
    labels
        As given.
    lower, upper
        Exact ages, half-open: "0-4" is 0 to 5, whoever has completed 0 to 4 years. An open group
        has the end that it is taken to have.
    """

    labels: tuple[str, ...]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @property
    def width(self) -> NDArray[np.float64]:
        """Years."""
        return np.asarray(self.upper - self.lower)


def parse_age(label: object) -> tuple[float, float] | None:
    """Return the exact ages of a label; an open group ends nowhere, and what is none is None.

    Examples
    --------
    >>> parse_age("15-19"), parse_age("85+"), parse_age(7), parse_age("young")
    ((15.0, 20.0), (85.0, inf), (7.0, 8.0), None)
    """
    match = LABEL.fullmatch(str(label).strip())
    if match is None:
        return None
    lower, last, plus = float(match[1]), match[2], match[3]
    if plus:
        return lower, np.inf
    upper = lower + 1.0 if last is None else float(last) + 1.0
    return (lower, upper) if upper > lower else None


def respell(label: object) -> str | None:
    """Return how a label is spelt, where it can be guessed.

    Examples
    --------
    >>> respell("0 to 4"), respell("85 and over"), respell("TOTAL")
    ('0-4', '85+', None)
    """
    text = str(label).translate(DASHES).replace(" ", "").lower()
    text = re.sub(r"^(?:>=|≥)?(\d+)(?:andover|andmore|plus|\+)$", r"\1+", text)
    text = re.sub(r"^y?(\d+)(?:to|_)y?(\d+)$", r"\1-\2", text)
    return text if parse_age(text) else None


def age_groups(
    labels: Iterable[object],
    *,
    highest: float = HIGHEST_AGE,
    faults: Faults | None = None,
    whole: bool = False,
) -> AgeGroups:
    """Return age groups from their labels, in any order.

    Parameters
    ----------
    labels
        Completed years: ``"0"`` (or the number), ``"0-4"``, ``"85+"``.
    highest
        Exact age at which an open group ends, but 5 years above its beginning at least. Rates in it
        are averaged as if as many people lived at each of its ages.
    faults
        Takes what is wrong, instead of an error.
    whole
        Whether the groups must hold all ages: begin at 0, and end at `highest` or nowhere.

    Returns
    -------
    AgeGroups

    Raises
    ------
    InputError
        If a label is none, stands twice, or groups overlap or leave ages out.

    Examples
    --------
    >>> groups = age_groups(["5-9", "0-4", "10+"])
    >>> groups.labels, groups.upper.tolist()
    (('0-4', '5-9', '10+'), [5.0, 10.0, 100.0])
    """
    own = Faults("ages")
    names = [str(label) for label in labels]
    spans = [parse_age(name) for name in names]
    for name, span in zip(names, spans, strict=True):
        if span is None:
            own.add(repr(name), ALLOWED, column="age", hint=respell(name))
    if not names:
        own.add("no ages", ALLOWED, column="age")
    order = sorted(range(len(names)), key=lambda k: spans[k] or (np.inf, np.inf))
    found = [(names[k], *(spans[k] or (0.0, 0.0))) for k in order]
    if not own:
        _check_contiguous(own, found)
        if whole:
            _check_whole(own, found, highest)
    if faults is None:
        own.raise_if_any()
    else:
        faults.extend(own)
    lower = np.array([low for _, low, _ in found])
    end = np.maximum(highest, lower + OPEN_YEARS)
    upper = np.array([high for _, _, high in found])
    closed = np.where(np.isinf(upper), end, upper)
    return AgeGroups(tuple(name for name, _, _ in found), lower, closed)


def _check_contiguous(faults: Faults, found: Sequence[tuple[str, float, float]]) -> None:
    """Record groups that overlap or leave ages out."""
    wrong = []
    for (one, _, end), (other, start, _) in pairwise(found):
        if start != end:
            wrong.append(f"{one} and then {other}")
    if wrong:
        more = f" and {len(wrong) - MAX_TOLD} more" if len(wrong) > MAX_TOLD else ""
        allowed = "groups that neither overlap nor leave ages out, an open one last"
        single = all(parse_age(name) == (low, low + 1.0) for name, low, _ in found[:-1])
        hint = f"{found[0][0]}-{found[1][1] - 1:g}" if single and len(found) > 2 else None
        faults.add(", ".join(wrong[:MAX_TOLD]) + more, allowed, column="age", hint=hint)


def _check_whole(faults: Faults, found: Sequence[tuple[str, float, float]], highest: float) -> None:
    first, last = found[0], found[-1]
    if first[1] > 0.0 or last[2] < highest:
        faults.add(
            f"ages from {first[0]} to {last[0]}",
            f"all ages: from 0 to an open group, or to {highest:g}",
            column="age",
        )
