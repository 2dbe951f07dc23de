"""Bilateral migration flows with uncertainty, from reports that contradict each other.

The public names below are loaded on first use, so that importing flowcast (and asking the command
for help) costs nothing.
"""

from typing import TYPE_CHECKING

from flowcast._lazy import lazy_names

__version__ = "0.1.0"

if TYPE_CHECKING:
    from flowcast.compare import compare_runs as compare_runs
    from flowcast.config import ModelSpec as ModelSpec
    from flowcast.config import read_model as read_model
    from flowcast.covariates import great_circle_km as great_circle_km
    from flowcast.covariates import read_covariates as read_covariates
    from flowcast.demonstration import run_demo as run_demo
    from flowcast.errors import FlowcastError as FlowcastError
    from flowcast.errors import InputError as InputError
    from flowcast.estimates import FlowEstimates as FlowEstimates
    from flowcast.estimates import flow_estimates as flow_estimates
    from flowcast.estimates import summarise as summarise
    from flowcast.inference import estimate as estimate
    from flowcast.observations import Observations as Observations
    from flowcast.observations import observations_from_frame as observations_from_frame
    from flowcast.observations import read_observations as read_observations
    from flowcast.persistence import read_run as read_run
    from flowcast.persistence import write_run as write_run
    from flowcast.plots import plot as plot
    from flowcast.posterior import Posterior as Posterior
    from flowcast.prediction import predict as predict
    from flowcast.simulation import simulate_world as simulate_world
    from flowcast.tables import write_table as write_table

# Public name -> module that defines it. No name may be that of a module: importing it would win.
_HOME = {
    "FlowEstimates": "estimates",
    "FlowcastError": "errors",
    "InputError": "errors",
    "ModelSpec": "config",
    "Observations": "observations",
    "Posterior": "posterior",
    "compare_runs": "compare",
    "estimate": "inference",
    "flow_estimates": "estimates",
    "great_circle_km": "covariates",
    "observations_from_frame": "observations",
    "plot": "plots",
    "predict": "prediction",
    "read_covariates": "covariates",
    "read_model": "config",
    "read_observations": "observations",
    "read_run": "persistence",
    "run_demo": "demonstration",
    "simulate_world": "simulation",
    "summarise": "estimates",
    "write_run": "persistence",
    "write_table": "tables",
}

__all__ = ["__version__", *_HOME]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
