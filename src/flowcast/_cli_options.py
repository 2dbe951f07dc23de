"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "PROJECTED_YEARS",
    "Corridors",
    "FlowRun",
    "FlowTable",
    "Model",
    "Out",
    "People",
    "PeriodLength",
    "Places",
    "ProcessSettings",
    "Quiet",
    "Reports",
    "Resume",
    "Run",
    "Scheduler",
    "Settings",
    "Stocks",
    "Until",
    "Workers",
]

PROJECTED_YEARS = 25

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
Out = Annotated[Path | None, typer.Option(metavar="F", help="File, instead of stdout.")]

Reports = Annotated[
    list[Path] | None,
    typer.Option(
        "--observations", metavar="F", help="Reports to use instead of the model's; repeatable."
    ),
]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A model's YAML file or folder, or an embedded model such as europe_2024.",
        show_default=False,
    ),
]
Places = Annotated[
    Path | None, typer.Option(metavar="F", help="Covariates of places, instead of the model's.")
]
Corridors = Annotated[
    Path | None, typer.Option(metavar="F", help="Covariates of corridors, instead of the model's.")
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder where finished fits are kept, and taken up again.",
        show_default="a hidden one in runs, removed at the end",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the model, as tails.reports=5."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Dask scheduler, such as tcp://10.0.0.5:8786."),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Processes on this machine.", show_default="its cores"),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]

# What a projection starts from.
FlowRun = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="A run, whose flows are the history.", show_default=False),
]
FlowTable = Annotated[
    Path | None,
    typer.Option(
        metavar="F",
        help="A table of flows instead: origin, destination, period, flow, and draw.",
        show_default=False,
    ),
]
PeriodLength = Annotated[
    int, typer.Option(metavar="N", min=1, help="Years of a period of the table.")
]
People = Annotated[
    Path | None,
    typer.Option(
        metavar="F",
        help="place, year, population, births, deaths.",
        show_default="populations of the run's embedded model",
    ),
]
Stocks = Annotated[
    Path | None,
    typer.Option(metavar="F", help="birthplace, place, stock: at the start.", show_default=False),
]
ProcessSettings = Annotated[
    Path | None,
    typer.Option("--settings", metavar="F", help="YAML of priors and sizes.", show_default=False),
]
Until = Annotated[
    int | None,
    typer.Option(metavar="YEAR", help="Where it ends.", show_default=f"{PROJECTED_YEARS} years on"),
]
