"""Write the pages on YAML files, of models, scenarios and projections, from the classes behind.

``python tools/yaml_reference.py`` writes the pages; with ``--check`` it only says whether they are
in step, and ends with 1 if one is not.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from jinja2 import Environment, StrictUndefined
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flowcast import config
from flowcast.priors import ELICITED, PRIOR_SHAPES, Prior
from flowcast.projection.spec import DEFAULT_EFFECTS, DriverEffect, ProjectionSpec
from flowcast.scenarios import DRIVERS, spec
from flowcast.scenarios.distributions import SHAPES, Distribution

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
PAGE: Final = DOCS / "model_yaml.md"
SCENARIO_PAGE: Final = DOCS / "scenario_yaml.md"
PROJECTION_PAGE: Final = DOCS / "projection_yaml.md"

SCENARIO_SECTIONS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("the file", spec.Scenario),
    ("data.NAME", spec.DataFile),
    ("drivers.NAME", spec.Change),
    ("shocks.NAME", spec.Shock),
)

PROJECTION_SECTIONS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("the file", ProjectionSpec),
    ("effects.DRIVER", DriverEffect),
)

# Top down, as one meets them in a file: the path of the key, and the class behind it.
SECTIONS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("the file", config.ModelSpec),
    ("data", config.Data),
    ("process", config.Process),
    ("process.covariates[]", config.CovariateTerm),
    ("measurement", config.Measurement),
    ("measurement.effects[]", config.MeasurementEffect),
    ("tails", config.Tails),
    ("sampler", config.Sampler),
)

# What a key means where its class leaves it to the name. A docstring in the class comes first.
MEANINGS: Final[dict[str, str]] = {
    "ModelSpec.name": "Name of the model in tables, run folders and messages.",
    "ModelSpec.title": "A line for people.",
    "ModelSpec.data": "The files.",
    "ModelSpec.process": "How large a flow is, before anybody reports it.",
    "ModelSpec.measurement": "How a report differs from the flow.",
    "ModelSpec.tails": "How far the exceptional may be from the usual.",
    "ModelSpec.sampler": "How the posterior is sampled.",
    "Data.observations": "Files of reports, joined ([the contract](data_contract.md)).",
    "Data.places": "Covariates of places.",
    "Data.corridors": "Covariates of corridors.",
    "Process.covariates": "The terms of the gravity equation, in order.",
    "Process.origin_effects": "A factor of each origin that its covariates do not explain.",
    "Process.destination_effects": "The same for each destination.",
    "Process.corridor_effects": "The same for each corridor; with one period, its only deviation.",
    "Process.sd_origin": "Sd of the log origin effects.",
    "Process.sd_destination": "Sd of the log destination effects.",
    "Process.sd_corridor": "Sd of the log corridor effects.",
    "Process.sd_innovation": "Sd of a corridor's change on the log scale from period to period.",
    "Process.ar_coefficient": "How much of a deviation is left one period later.",
    "Measurement.duration_0_to_3": "Log ratio of counts: no minimum stay over 3 months.",
    "Measurement.duration_3_to_6": "Log ratio of counts: 3 months over 6 months.",
    "Measurement.duration_6_to_12": "Log ratio of counts: 6 months over 12 months.",
    "Measurement.duration_12_to_60": "Log ratio of counts: 12 months over permanent.",
    **{
        f"Measurement.share_{side}_{grade}": f"Share of {side} reported, undercount {grade}."
        for side in ("immigration", "emigration")
        for grade in ("low", "medium", "high", "unknown")
    },
    "Measurement.sd_reporter": "Sd of the log reporter effects, by side.",
    "Measurement.sd_reporter_period": "Sd of the log reporter-by-period effects, by side.",
    "Measurement.sd_corridor_report": "Sd of the log corridor-by-side effects.",
    "MeasurementEffect.families": "Reports of these families.",
    "MeasurementEffect.criteria": "Reports by these criteria.",
    "MeasurementEffect.origins": "Reports of flows from these places.",
    "MeasurementEffect.destinations": "Reports of flows to these places.",
    "Sampler.draws": "Draws of the hyper-parameters per chain.",
    "Sampler.tune": "Steps per chain in which the sampler adapts; not kept.",
    "Sampler.chains": "Independent chains: convergence is judged by their agreement.",
    "Sampler.seed": "Makes a run repeatable.",
    "Sampler.target_accept": "Higher: smaller steps, fewer divergences, slower.",
    "Sampler.max_rhat": "Gate: the largest R-hat of a result that may be used.",
    "Sampler.min_ess": "Gate: the least bulk and tail effective sample size.",
}

HEAD: Final = """\
# The model file

*Generated from the classes of `flowcast.config` by `python tools/yaml_reference.py`; edit those.*

A model is a folder with `model.yaml` and `card.md`, and no code. Every key has a default except
`name`; a key that does not exist is refused, with the nearest one that does.
`flowcast check my_model/model.yaml` lists everything that is wrong at once.

What counts, lowest first: the defaults below, the file, what is given with a run
(`--set 'process.sd_origin={half_normal: 0.5}'` on the command line,
`overrides={"process.sd_origin": {"half_normal": 0.5}}` in Python). A run folder keeps the model as
applied, with every default written out.

```yaml
name: my_model
data:
  observations: [my_flows.csv]
  places: places.csv
process:
  covariates:
    - name: log_population_origin
      column: population
      side: origin
      transform: log
      prior: {normal: [0.7, 0.3]}
measurement:
  share_emigration_low: {beta: [95, 5]}
```
"""


PROJECTION_HEAD: Final = """\
# The settings of a projection

*Generated from `flowcast.projection.spec` by `python tools/yaml_reference.py`; edit that.*

`flowcast project ... --settings F` takes a file with any of these keys; `read_projection_spec` does
in Python. Every key has a default; one that does not exist is refused. What they mean for a
projection stands [here](projection.md), shapes of priors [there](model_yaml.md#priors).

```yaml
draws: 1000
phi: {beta: [8, 2]}
effects:
  gdp_per_head: {leaving: {normal: [0, 0.1]}, reference: "my own: no effect of income is assumed"}
```
"""


def attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the strings below the fields of a class and of those it is made of."""
    bases = [
        base for base in model.__bases__ if issubclass(base, BaseModel) and base is not BaseModel
    ]
    found: dict[str, str] = {}
    for base in bases:
        found |= attribute_docstrings(base)
    return found | own_docstrings(model)


def own_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the strings that stand below the fields of a class, as `pydantic` would read them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found = {}
    for field, below in pairwise(body):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if named and text and isinstance(below.value.value, str):
            found[field.target.id] = " ".join(inspect.cleandoc(below.value.value).split())
    return found


def describe_type(annotation: Any, field: FieldInfo) -> str:  # noqa: ANN401
    """Return what may stand for a field, in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return described(args[1:]) or describe_type(args[0], field)
    if origin in (Union, UnionType):
        inner = [describe_type(a, field) for a in args if a is not NoneType]
        return ", ".join([*inner, "or `null`"] if NoneType in args else inner)
    if origin is Mapping:
        return f"mapping: {describe_type(args[0], field)} to {describe_type(args[1], field)}"
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin is tuple:
        return f"list: {describe_type(args[0], field)}"
    links = {Prior: "[prior](#priors)", Distribution: "[distribution](#distributions)"}
    if annotation in links:
        return links[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        sections = (*SECTIONS, *SCENARIO_SECTIONS, *PROJECTION_SECTIONS)
        path = next(path for path, model in sections if model is annotation)
        return f"[section](#{anchor(path)})"
    words = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}
    return words[annotation] + limits(field)


def described(metadata: Iterable[object]) -> str | None:
    """Return what a type says of itself, where the type alone would not tell."""
    fields = (one for one in metadata if isinstance(one, FieldInfo))
    return next((one.description for one in fields if one.description), None)


def limits(field: FieldInfo) -> str:
    """Return the bounds of a number, in words."""
    words = {
        Gt: ("gt", "above"),
        Ge: ("ge", "at least"),
        Lt: ("lt", "below"),
        Le: ("le", "at most"),
    }
    found = [
        f"{word} {getattr(bound, name):g}"
        for kind, (name, word) in words.items()
        for bound in field.metadata
        if isinstance(bound, kind)
    ]
    return " " + ", ".join(found) if found else ""


def anchor(path: str) -> str:
    """Return the fragment under which the site finds a section."""
    return "".join(c for c in path.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def prior_text(prior: Prior) -> str:
    """Return a prior as it is written in a file."""
    numbers = ", ".join(f"{number:g}" for number in prior.numbers)
    return f"{{{prior.shape}: [{numbers}]}}"


def describe_default(field: FieldInfo) -> str:
    """Return the default of a field as it is written in a file."""
    if field.is_required():
        return "**must be given**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Prior):
        names = [name for name, prior in ELICITED.items() if prior == value]
        return f"`{names[0] if names else prior_text(value)}`"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, (dict, tuple)):
        if isinstance(value, dict) and any(isinstance(one, BaseModel) for one in value.values()):
            return "see below"
        texts = (f"{one:g}" if isinstance(one, float) else f'"{one}"' for one in value)
        inside = ", ".join(texts)
        return f"`{{{inside}}}`" if isinstance(value, dict) else f"`[{inside}]`"
    words = {None: "`null`", True: "`true`", False: "`false`", "": "empty"}
    # 1 equals True: a number must not be looked up.
    return f"`{value:g}`" if type(value) in (int, float) else words.get(value, f"`{value}`")


def section(path: str, model: type[BaseModel]) -> str:
    """Return the heading, purpose and table of one section."""
    told = attribute_docstrings(model)
    purpose = inspect.cleandoc(model.__doc__ or "").split("\n\n")[0]
    lines = [
        f"## {path}",
        "",
        purpose,
        "",
        "| key | may be | default | meaning |",
        "|" + " --- |" * 4,
    ]
    for name, field in model.model_fields.items():
        if not field.exclude:
            meaning = told.get(name) or MEANINGS[f"{model.__name__}.{name}"]
            cells = (
                f"`{name}`",
                field.description or describe_type(field.annotation, field),
                describe_default(field),
            )
            lines.append(f"| {' | '.join(cells)} | {meaning} |")
    return "\n".join([*lines, ""])


def priors_section() -> str:
    """Return the section on shapes of priors and on the elicited ones."""
    lines = [
        "## Priors",
        "",
        "A prior is one shape with its numbers, such as `{normal: [0, 1]}`, or the name of an",
        "elicited one.",
        "",
        "| shape | numbers |",
        "| --- | --- |",
        *(f"| `{shape}` | {', '.join(names)} |" for shape, names in PRIOR_SHAPES.items()),
        "",
        "`half_normal` and `half_t` are folded at zero, `positive_normal` is a normal cut off at",
        "zero, `log_normal` is given by mean and sd of the logarithm. A number that is no mean is",
        "above 0. `precision_gamma` is the prior of an sd whose inverse square has a Gamma",
        "distribution with that shape and rate.",
        "",
        "| elicited | is | source |",
        "| --- | --- | --- |",
        *(f"| `{n}` | `{prior_text(p)}` | {p.source} |" for n, p in ELICITED.items()),
        "",
    ]
    return "\n".join(lines)


def build_page() -> str:
    """Return the page on model files."""
    return "\n".join([HEAD, *(section(*part) for part in SECTIONS), priors_section()])


def build_scenario_page() -> str:
    """Return the page on scenario files."""
    text = (DOCS / "scenario_yaml.md.jinja").read_text(encoding="utf-8")
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)
    sections = "\n".join(section(*part) for part in SCENARIO_SECTIONS)
    return template.render(sections=sections, drivers=list(DRIVERS.values()), shapes=SHAPES)


def build_projection_page() -> str:
    """Return the page on settings of projections."""
    lines = [
        "## Effects of drivers, by default",
        "",
        "Mean and sd of normal priors: of a place's driver on its log out-rate, and on log shares",
        "that go to it; of a corridor's driver on its log flow. Where a history of the driver is",
        "given, effects are estimated under these.",
        "",
        "| driver | leaving | arriving | rests on |",
        "| --- | --- | --- | --- |",
    ]
    for name, effect in DEFAULT_EFFECTS.items():
        sides = [
            "" if one is None else f"`{prior_text(one)}`"
            for one in (effect.leaving, effect.arriving)
        ]
        lines.append(f"| `{name}` | {' | '.join(sides)} | {effect.reference} |")
    parts = [
        section(*part).replace("(#priors)", "(model_yaml.md#priors)")
        for part in PROJECTION_SECTIONS
    ]
    return "\n".join([PROJECTION_HEAD, *parts, *lines, ""])


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    pages = {
        PAGE: build_page(),
        SCENARIO_PAGE: build_scenario_page(),
        PROJECTION_PAGE: build_projection_page(),
    }
    if "--check" in arguments:
        behind = [p for p, text in pages.items() if not p.is_file() or p.read_text("utf-8") != text]
        for path in pages:
            print(f"{path.name} is {'NOT ' if path in behind else ''}in step with the classes")
        return 1 if behind else 0
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
