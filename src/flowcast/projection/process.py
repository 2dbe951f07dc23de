"""The process of flows: out-rates of origins and shares of destinations, with their posterior.

Of an origin i in period t, with P_it people at its start and periods of L years,

    flow_ijt = P_it L rate_it share_ijt,   share = softmax over destinations,

and the logs of rates and shares are two panels of autoregressions (`flowcast.projection._panel`):
out-rates share an effect of the period among all origins, shares one among all corridors to a
destination. The model follows Welch and Raftery (2022), doi 10.1073/pnas.2203822119, but for these
shared effects, heavy tails, autoregression in the shares, and zeros, which here are flows too small
to be counted.

Each draw of the process takes a draw of the history, so that what is not known of the past is not
known of the process either. The history is not updated by the process (a cut): a flow that was
estimated from reports stays as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.errors import UsageError
from flowcast.projection._panel import (
    PanelData,
    PanelPriors,
    PanelState,
    sample_panel,
    start_panel,
    with_values,
)
from flowcast.projection._process_data import ProcessData, make_panels, prepare_process
from flowcast.projection._process_draws import gather_draws, remarks
from flowcast.projection.history import FlowHistory
from flowcast.projection.spec import ProjectionSpec
from flowcast.scenarios.catalogue import DRIVERS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["FlowProcess", "fit_process"]

Progress = Callable[[int, int], None]
MAX_RHAT: Final = 1.05
"""Of the hyper-parameters: what the gate lets pass."""
MIN_ESS: Final = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class FlowProcess:
    """Draws of the process of flows, and where it stands at the end of the history.

    Attributes
    ----------
    posterior
        Dims draw; origin_place (out-rates), corridor with coordinates `origin` and `destination`
        (shares), size_class, shared, leaving and arriving (drivers). Logs, but for `*_phi`
        (persistence, a number), `*_degrees` (degrees of freedom) and `*_sd` (scales of logs).

        ``out_mean, out_deviation, out_sd`` (draw, origin), ``out_phi, out_degrees, out_shared,
        out_shared_phi, out_shared_sd`` (draw);
        ``share_mean, share_deviation, share_sd`` (draw, corridor), ``share_phi, share_shared_phi,
        share_shared_sd`` (draw, size_class), ``share_degrees`` (draw), ``share_shared`` (draw,
        shared: a destination's corridors of a class, as `shared_of` says for each corridor);
        ``out_bound`` and ``share_bound`` (size_class): the largest change of a log that was seen,
        which no innovation exceeds;
        ``effect_leaving`` (draw, leaving), ``effect_arriving`` (draw, arriving).
    base
        Base of each driver that has a history, on its scale: (place) or (corridor).
    estimated
        Drivers whose effects were estimated; those of others are draws of their priors.
    diagnostics
        One row a hyper-parameter: `parameter, mean, sd, rhat, ess_bulk`.
    population
        Persons at the start of the history's last period, dims (place).
    end
        Year in which the history ends.
    length
        Years of a period.
    spec
        The settings.
    notes
        What a reader has to know.
    """

    posterior: "xr.Dataset"
    base: "xr.Dataset"
    estimated: tuple[str, ...]
    diagnostics: "pd.DataFrame"
    population: "xr.DataArray"
    end: int
    length: int
    spec: ProjectionSpec
    notes: tuple[str, ...]

    @property
    def n_draws(self) -> int:
        """How many draws there are."""
        return self.posterior.sizes["draw"]

    @property
    def places(self) -> tuple[str, ...]:
        """Codes, sorted."""
        return tuple(self.posterior["origin_place"].to_numpy().tolist())

    @property
    def passed(self) -> bool:
        """Whether chains agree on every hyper-parameter."""
        return bool(
            (self.diagnostics["rhat"] <= MAX_RHAT).all()
            and (self.diagnostics["ess_bulk"] >= MIN_ESS).all()
        )


def fit_process(
    history: FlowHistory,
    spec: ProjectionSpec | None = None,
    *,
    drivers: "xr.Dataset | None" = None,
    progress: Progress | None = None,
) -> FlowProcess:
    """Sample the process that a history of flows follows.

    Parameters
    ----------
    history
        Flows and populations of the past.
    spec
        Priors, sizes and seed; the defaults where None.
    drivers
        Drivers of the past, as `flowcast.scenarios.check_drivers` describes them. Effects of those
        that cover every period are estimated with it.
    progress
        Told how many sweeps are done, of how many.

    Raises
    ------
    UsageError
        If there are fewer than three places or no flow above zero.

    Examples
    --------
    >>> import pandas as pd, xarray as xr
    >>> from flowcast.projection.history import history_from_table
    >>> rng = np.random.default_rng(1)
    >>> pairs = [(o, d) for o in "ABCD" for d in "ABCD" if o != d]
    >>> rows = [(o, d, t, rng.poisson(50)) for o, d in pairs for t in range(2015, 2020)]
    >>> table = pd.DataFrame(rows, columns=["origin", "destination", "period", "flow"])
    >>> people = xr.DataArray(np.full((4, 1), 1e4), {"place": list("ABCD"), "year": [2015]})
    >>> history = history_from_table(table, people, length=1)
    >>> process = fit_process(history, ProjectionSpec(draws=20, tune=10, sweeps=1))
    >>> process.posterior["share_mean"].dims, process.end
    (('draw', 'corridor'), 2020)
    """
    settings = ProjectionSpec() if spec is None else spec
    _require_enough(history)
    parts = prepare_process(history, settings, drivers)
    chains = [_sample_chain(parts, settings, chain, progress) for chain in range(settings.chains)]
    posterior, diagnostics = gather_draws(history.places, settings, parts, chains)
    last = history.population.isel(period=-1, drop=True)
    return FlowProcess(
        posterior,
        _bases(parts),
        tuple(dict.fromkeys((*parts.leaving, *parts.arriving))),
        diagnostics,
        last.rename("population"),
        history.end,
        history.length,
        settings,
        (*history.notes, *remarks(history, settings, parts)),
    )


def _bases(parts: ProcessData) -> "xr.Dataset":
    import xarray as xr

    return xr.Dataset(
        {
            name: (("place" if DRIVERS[name].of == "place" else "corridor",), values)
            for name, values in parts.base.items()
        }
    )


def _require_enough(history: FlowHistory) -> None:
    if len(history.places) < 3:
        found = f"{len(history.places)} places"
        raise UsageError(f"(history) | found {found}; allowed: three, or shares say nothing")
    if not (history.flows.to_numpy() > 0).any():
        raise UsageError("(history) | found no flow above zero; allowed: some")


def _priors(spec: ProjectionSpec, names: tuple[str, ...], side: str) -> PanelPriors:
    effects = tuple(getattr(spec.effects[name], side) for name in names)
    return PanelPriors(
        spec.phi, spec.sd_mean, spec.sd_innovation, spec.shared_phi, spec.shared_sd, effects
    )  # fmt: skip


def _sample_chain(
    parts: ProcessData, spec: ProjectionSpec, chain: int, progress: Progress | None
) -> "list[dict[str, NDArray[np.float64]]]":
    """Return the draws of one chain: what of each state is kept."""
    rng = np.random.default_rng([spec.seed, 11, chain])
    order = rng.permutation(parts.n_draws)
    both = make_panels(parts, spec, int(order[0]))
    priors = (
        _priors(spec, parts.leaving, "leaving"),
        _priors(spec, parts.arriving, "arriving"),
    )
    states = [start_panel(one, rng) for one in both]
    n_draw = -(-spec.draws // spec.chains)
    kept = []
    total = (spec.tune + n_draw * spec.sweeps) * spec.chains
    done = (spec.tune + n_draw * spec.sweeps) * chain
    blocks = [1] * spec.tune + [spec.sweeps] * n_draw
    for number, block in enumerate(blocks):
        if parts.n_draws > 1:
            both = make_panels(parts, spec, int(order[number % parts.n_draws]))
        for data, prior, state in zip(both, priors, states, strict=True):
            with_values(data, state)
            sweeps = sample_panel(data, prior, state, rng)
            for _ in range(block):
                next(sweeps)
        done += block
        if progress is not None:
            progress(done, total)
        if number >= spec.tune:
            kept.append(_snapshot(states[0], states[1], both))
    return kept


def _snapshot(
    out: PanelState, share: PanelState, data: tuple[PanelData, PanelData]
) -> "dict[str, NDArray[np.float64]]":
    """Return what a projection needs of the states, as copies."""
    kept: dict[str, NDArray[np.float64]] = {}
    for name, state, panel in (("out", out, data[0]), ("share", share, data[1])):
        kept[f"{name}_mean"] = state.mean.copy()
        kept[f"{name}_deviation"] = state.deviation[:, -1].copy()
        kept[f"{name}_sd"] = state.sd[panel.size_class] * np.sqrt(state.spread)
        for part in ("degrees", "unit_degrees"):
            kept[f"{name}_{part}"] = np.array(getattr(state, part))
        kept[f"{name}_shared"] = state.shared[:, -1].copy()
        common = {"scale": "sd", **{p: p for p in ("phi", "level", "shared_phi", "shared_sd")}}
        for part, own in common.items():
            kept[f"{name}_{part}"] = getattr(state, own).copy()
    kept["effect_leaving"] = out.effects.copy()
    kept["effect_arriving"] = share.effects.copy()
    return kept
