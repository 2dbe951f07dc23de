"""What a publisher has promised about small cells, as a file."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from flowcast._measurement import FrozenModel
from flowcast.config import read_typed

__all__ = ["DisclosurePolicy", "read_policy"]


class DisclosurePolicy(FrozenModel):
    """Which cells are sensitive, and what nobody may learn about them.

    Examples
    --------
    >>> DisclosurePolicy(minimum_cell=10).protection
    (10.0, 10.0)
    """

    name: str = ""
    """What the release calls the policy: an office, a regulation."""
    minimum_cell: float = Field(gt=0)
    """Persons: a count of fewer is sensitive."""
    protect_below: float | None = Field(default=None, ge=0)
    protect_above: float | None = Field(default=None, gt=0)
    """Persons: what is published must allow a sensitive cell every value from so much below its own
    (or zero) to so much above it. By default `minimum_cell` each."""
    method: Literal["suppress", "round"] = "suppress"
    """`suppress`: sensitive cells are left out, and others with them, so that no sum or difference
    gives them away. `round`: every figure becomes a multiple of `base`, and sums still add up."""
    base: float | None = Field(default=None, gt=0)
    """Persons, for `round`: at least `minimum_cell` and `protect_above` together."""

    @property
    def protection(self) -> tuple[float, float]:
        """Width of the protection interval below and above a sensitive cell, persons."""
        below, above = self.protect_below, self.protect_above
        return (
            self.minimum_cell if below is None else below,
            self.minimum_cell if above is None else above,
        )

    @model_validator(mode="after")
    def _base_goes_with_rounding(self) -> "DisclosurePolicy":
        if self.method == "suppress":
            if self.base is not None:
                raise ValueError("base only with method: round")
            return self
        needed = self.minimum_cell + self.protection[1]
        if self.base is None or self.base < needed:
            found = "none" if self.base is None else f"{self.base:g}"
            raise ValueError(
                f"a base of at least minimum_cell + protect_above = {needed:g} with method: round, "
                f"or a sensitive cell could be known better than promised; the base is {found}"
            )
        return self


def read_policy(path: str | Path) -> DisclosurePolicy:
    """Read a policy of disclosure control from YAML.

    Parameters
    ----------
    path
        A YAML file with the keys of `DisclosurePolicy`.

    Raises
    ------
    InputError
        With every fault: unknown keys (and the nearest name), wrong types, impossible numbers.

    Examples
    --------
    >>> read_policy("policy.yaml")  # doctest: +SKIP
    DisclosurePolicy(name='office', minimum_cell=10.0, ...)
    """
    return read_typed(path, DisclosurePolicy)
