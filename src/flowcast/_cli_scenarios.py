"""The commands about scenarios: which there are, and what one of them says in the end."""

import sys
from typing import Annotated

import typer

from flowcast._command import SubCommands
from flowcast._terminal import Column, show_table

__all__ = ["scenarios_app"]

scenarios_app = typer.Typer(
    cls=SubCommands,
    name="scenarios",
    help="List the scenarios that come with flowcast; show what one says, with all it builds on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@scenarios_app.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with flowcast, and the files they need."""
    from flowcast.scenarios import needed_files, read_scenarios, scenario_names

    specs = [resolved.spec for resolved in read_scenarios(scenario_names())]
    rows = [
        [
            spec.name,
            spec.title,
            ", ".join(sorted({entry.driver for entry in spec.entries.values()})),
            ", ".join(needed_files(spec)),
        ]
        for spec in specs
    ]
    columns = [Column(name) for name in ("name", "title", "drivers", "files needed")]
    show_table(f"{len(rows)} scenarios", columns, rows)


@scenarios_app.command("show")
def show_scenario(
    scenarios: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO...",
            help="Name or YAML file; several are taken together.",
            show_default=False,
        ),
    ],
) -> None:
    """Show a scenario as one file that says it all, with what each file replaced.

    What is printed is a scenario file again; the log of overrides stands below it, as comments.
    """
    from flowcast.scenarios import combine_scenarios, dump_scenario, read_scenario

    several = len(scenarios) > 1
    resolved = combine_scenarios(scenarios) if several else read_scenario(scenarios[0])
    sys.stdout.write(dump_scenario(resolved))
