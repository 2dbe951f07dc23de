"""A hurdle model of displacement: whether there is any in a year, and how much if there is.

For unit u (a place, with its hazard or its destination) and year t, given the past,

    P(D_ut > 0)          = Phi(a . x_ut + year_t + effects of u)
    log D_ut | D_ut > 0  = level_ut + b . x_ut + year_t + effects of u + Student-t(nu, scale_ut),

where x has what the unit's own past says: whether there was displacement last year, how frequent it
is, at which level, and by how much the last year was above it, frequency and level discounted
(`half_life`); and drivers of that past year. Effects differ by hazard; units share effects with
their place, destination and region. Counts span seven orders of magnitude, so that the count model
is on the log scale: a negative binomial has no tail as heavy as that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.displacement._chains import (
    MagnitudeData,
    sample_magnitude,
    sample_occurrence,
)
from flowcast.displacement._draws import gather_draws
from flowcast.displacement._features import (
    MAGNITUDE_TERMS,
    OCCURRENCE_TERMS,
    SCALE_TERMS,
    History,
)
from flowcast.displacement._layout import (
    Drivers,
    Layout,
    centre_of,
    group_units,
    histories,
)
from flowcast.displacement._mixed import MixedDesign, MixedState
from flowcast.displacement.panel import DisplacementPanel
from flowcast.displacement.spec import DisplacementSpec
from flowcast.errors import UsageError
from flowcast.priors import Prior

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]
    type Kept = dict[str, NDArray[np.float64]]

__all__ = ["DisplacementFit", "fit_displacement", "standing"]

MAX_RHAT: Final = 1.05
MIN_ESS: Final = 50.0
MIN_ROWS: Final = 20
"""Years with displacement that a fit needs, at least."""


@dataclass(frozen=True, slots=True, eq=False)
class DisplacementFit:
    """Draws of the model, and where each unit stands at the end of what is known.

    Attributes
    ----------
    posterior
        Dims chain, draw, and of the `occurrence_` and `magnitude_` parts: `_coefficients`
        (term), `_year` (the last year's effect), `_year_sd`, `_year_phi`, `_unit_sd`, `_units`
        (unit, groups included); and `magnitude_scale` (scale term), `magnitude_degrees`, and of
        units' variances `magnitude_spread` (unit) and `magnitude_unit_degrees`.
    panel
        What it was fitted to.
    layout, drivers, history
        Columns, the drivers' last values, and the units' past: what a forecast starts from.
    diagnostics
        One row a hyper-parameter: `parameter, mean, sd, rhat, ess_bulk`.
    spec
        The settings.
    """

    posterior: "xr.Dataset"
    panel: DisplacementPanel
    layout: Layout
    drivers: Drivers
    history: History
    diagnostics: "pd.DataFrame"
    spec: DisplacementSpec

    @property
    def passed(self) -> bool:
        """Whether chains agree on every hyper-parameter."""
        table = self.diagnostics
        return bool((table["rhat"] <= MAX_RHAT).all() and (table["ess_bulk"] >= MIN_ESS).all())


def fit_displacement(
    panel: DisplacementPanel,
    spec: DisplacementSpec | None = None,
    *,
    drivers: "xr.Dataset | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> DisplacementFit:
    """Sample the model of a panel.

    Parameters
    ----------
    panel
        Counts of what is known, and no later.
    spec
        Priors, sizes and seed; the defaults where None.
    drivers
        Of the panel's units and years, as from `join_drivers`. The driver of a year acts on the
        year after.
    progress
        Told how many sweeps are done, of how many.

    Raises
    ------
    UsageError
        If the panel has fewer than three years, or too few with displacement; or drivers of other
        units and years.

    Examples
    --------
    >>> import xarray as xr
    >>> rng = np.random.default_rng(1)
    >>> counts = rng.poisson(20.0, (30, 8)) * rng.binomial(1, 0.6, (30, 8))
    >>> coords = {"place": ("unit", [f"P{k}" for k in range(30)]), "year": range(2010, 2018)}
    >>> coords |= {name: ("unit", [""] * 30) for name in ("destination", "hazard")}
    >>> data = xr.DataArray(counts.astype(float), dims=("unit", "year"), coords=coords)
    >>> panel = DisplacementPanel(data, "idmc_conflict", "conflict")
    >>> fit = fit_displacement(panel, DisplacementSpec(draws=20, tune=10))
    >>> dict(fit.posterior["occurrence_units"].sizes)
    {'chain': 2, 'draw': 10, 'unit': 30}
    """
    settings = DisplacementSpec() if spec is None else spec
    layout, past = standing(panel, settings)
    told = _drivers(panel, drivers)
    data = _Data.prepare(panel, layout, told, past, settings)
    chains = [_chain(data, settings, chain, progress) for chain in range(settings.chains)]
    posterior, diagnostics = gather_draws(layout, told.names, chains)
    return DisplacementFit(posterior, panel, layout, told, past[-1], diagnostics, settings)


def standing(panel: DisplacementPanel, spec: DisplacementSpec) -> tuple[Layout, list[History]]:
    """Return the columns of a panel's model, and the past before each year and after the last."""
    scales, centre = centre_of(panel, spec)
    names, hazard = np.unique(panel.names("hazard"), return_inverse=True)
    layout = Layout(tuple(names.tolist()), hazard, *group_units(panel), scales, centre)
    return layout, histories(panel.values, scales)


def _drivers(panel: DisplacementPanel, drivers: "xr.Dataset | None") -> Drivers:
    """Return drivers in units of their sd, those not known at the mean."""
    shape = panel.values.shape
    if drivers is None:
        return Drivers((), np.zeros((*shape, 0)))
    names = tuple(str(name) for name in drivers.data_vars)
    same = drivers.sizes.get("unit") == shape[0] and np.array_equal(drivers["year"], panel.years)
    if not same or not np.array_equal(drivers["place"], panel.names("place")):
        raise UsageError("(drivers) | found other units or years; allowed: those of the panel")
    raw = np.stack([drivers[name].transpose("unit", "year").to_numpy() for name in names], axis=-1)
    mean, sd = np.nanmean(raw, axis=(0, 1)), np.nanstd(raw, axis=(0, 1))
    flat = [name for name, one in zip(names, sd, strict=True) if not one > 0]
    if flat:
        raise UsageError(f"(drivers) | found {', '.join(flat)} constant; allowed: ones that vary")
    return Drivers(names, np.nan_to_num((raw - mean) / sd))


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Rows of both parts."""

    occurrence: MixedDesign
    occurred: "NDArray[np.bool_]"
    magnitude: MagnitudeData

    @classmethod
    def prepare(
        cls,
        panel: DisplacementPanel,
        layout: Layout,
        drivers: Drivers,
        past: list[History],
        spec: DisplacementSpec,
    ) -> "_Data":
        values = panel.values
        n_year = values.shape[1]
        first = 1 if spec.window is None else max(1, n_year - spec.window)
        before = np.pad(panel.entered[:, :-1], ((0, 0), (1, 0)))
        fitted = np.isfinite(values) & before & (np.arange(n_year) >= first)
        # Rows by unit and year; the past and the drivers are those before the year.
        unit, year = fitted.nonzero()
        count = values[unit, year]
        positive = count > 0
        if n_year < 3 or positive.sum() < MIN_ROWS:
            raise UsageError(
                f"(panel) | found {n_year} years and {positive.sum()} with displacement after the "
                f"first; allowed: at least 3, and {MIN_ROWS}"
            )
        told = drivers.values[unit, year - 1]

        def lay_out(names: tuple[str, ...], rows: "NDArray[np.bool_]") -> MixedDesign:
            every = np.stack([layout.columns(one, names) for one in past[:-1]], axis=1)
            x = layout.design(every[unit, year][rows], told[rows], unit[rows])
            sd = layout.coefficient_sd(len(names), len(drivers.names), spec)
            unit_prior, year_prior = (
                Prior.make("half_normal", [one]) for one in (spec.unit_sd, spec.year_sd)
            )
            return MixedDesign(
                x, sd, (year - first)[rows], n_year - first, unit[rows], len(values),
                layout.groups, unit_prior, year_prior, Prior.make("beta", list(spec.year_phi)),
            )  # fmt: skip

        level = np.stack([one.logs / one.weight_positive for one in past[:-1]], axis=1)
        log = np.log(count[positive])
        masked = (count[positive] <= panel.smallest) & (panel.smallest > 1)
        offset = level[unit, year][positive]
        every = np.stack([layout.columns(one, SCALE_TERMS) for one in past[:-1]], axis=1)
        z = layout.design(every[unit, year][positive], np.zeros((len(log), 0)), unit[positive])
        n_hazard = len(layout.hazards)
        magnitude = MagnitudeData(
            lay_out(MAGNITUDE_TERMS, positive),
            log - offset,
            np.where(masked, np.log(panel.smallest + 0.5) - offset, np.inf),
            z[:, : n_hazard + len(SCALE_TERMS)],
            n_hazard,
        )
        return cls(lay_out(OCCURRENCE_TERMS, np.ones(len(unit), dtype=bool)), positive, magnitude)


def _chain(
    data: _Data,
    spec: DisplacementSpec,
    chain: int,
    progress: Callable[[int, int], None] | None,
) -> "list[Kept]":
    """Return the draws of one chain."""
    rngs = [np.random.default_rng([spec.seed, part, chain]) for part in (21, 22)]
    occurrences = sample_occurrence(data.occurrence, data.occurred, rngs[0])
    magnitudes = sample_magnitude(data.magnitude, rngs[1])
    n_draw = -(-spec.draws // spec.chains)
    total = spec.tune + n_draw * spec.sweeps
    kept = []
    for number in range(total):
        occurrence, magnitude = next(occurrences), next(magnitudes)
        if progress is not None:
            progress(chain * total + number + 1, spec.chains * total)
        if number >= spec.tune and (number - spec.tune + 1) % spec.sweeps == 0:
            kept.append(
                {
                    **_snapshot("occurrence", occurrence, data.occurrence),
                    **_snapshot("magnitude", magnitude.mixed, data.magnitude.design),
                    "magnitude_scale": magnitude.scale.copy(),
                    "magnitude_degrees": np.array(magnitude.degrees),
                    "magnitude_unit_degrees": np.array(magnitude.unit_degrees),
                    "magnitude_spread": magnitude.spread.copy(),
                }
            )
    return kept


def _snapshot(part: str, state: MixedState, design: MixedDesign) -> "Kept":
    kept = {
        "coefficients": state.coefficients.copy(),
        "year": state.years[-1].copy(),
        "year_sd": np.array(state.year_sd),
        "year_phi": np.array(state.year_phi),
        "unit_sd": np.array(state.unit_sd),
        "units": state.of_units(design),
    }
    kept |= {f"group_sd_{k}": np.array(sd) for k, sd in enumerate(state.group_sds)}
    return {f"{part}_{name}": value for name, value in kept.items()}
