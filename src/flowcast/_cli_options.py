"""Arguments and options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Corridors",
    "Model",
    "Out",
    "Places",
    "Quiet",
    "Reports",
    "Resume",
    "Run",
    "Scheduler",
    "Settings",
    "Workers",
]

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
