"""The public interface: its names, its signatures, and what its objects say of themselves."""

import inspect
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from pydantic import ValidationError
from support import tiny_posterior

import flowcast as fc

REPORT = {
    "source": "reg",
    "family": "administrative",
    "measure": "flow",
    "origin": "NA",
    "destination": "DE",
    "year": 2020,
    "value": 3,
    "reporter": "destination",
}

# A name more or less, or a parameter renamed, breaks somebody's script: it is changed here
# knowingly, together with the change log. A star stands before what is given by name only.
FUNCTIONS = {
    "compare_runs": "a b * measure by prob definition",
    "estimate": "model observations places corridors * draws tune chains seed overrides progress "
    "checkpoint",
    "flow_estimates": "posterior * definition",
    "great_circle_km": "lat1 lon1 lat2 lon2",
    "observations_from_frame": "frame * name role declared_places registry",
    "plot": "posterior kind * out place period",
    "predict": "posterior observations * seed",
    "read_covariates": "places_path corridors_path * declared_places",
    "read_model": "path overrides",
    "read_observations": "path * role declared_places registry",
    "read_run": "folder",
    "run_demo": "out * quiet",
    "simulate_world": "n_place n_period * seed spec hyper missing graded definitions totals codes",
    "summarise": "estimates * measure probs by definition benchmark seed",
    "write_run": "posterior folder * force extras",
    "write_table": "frame path format * caption notes",
}
CLASSES = {
    "FlowEstimates",
    "FlowcastError",
    "InputError",
    "ModelSpec",
    "Observations",
    "Posterior",
}


def function(name: str) -> Callable[..., Any]:
    found = getattr(fc, name)
    assert inspect.isfunction(found)
    return found


def section(name: str, title: str) -> str:
    """Return a section of a function's docstring, or nothing."""
    doc = inspect.getdoc(getattr(fc, name)) or ""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w[\w ]*\n---|\Z)", doc, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


# --- names and signatures ------------------------------------------------------------------------


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(dir(fc)) == {"__version__", *FUNCTIONS, *CLASSES}
    assert dir(fc) == sorted(fc.__all__)
    assert {name for name in CLASSES if not inspect.isclass(getattr(fc, name))} == set()


def test_the_version_is_one_that_packaging_tools_can_order() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+|\.dev\d+)?", fc.__version__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_parameters_are_those_promised(name: str) -> None:
    parts: list[str] = []
    for parameter in inspect.signature(function(name)).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        parts.append(parameter.name)
    assert " ".join(parts) == FUNCTIONS[name]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_are_typed_throughout(name: str) -> None:
    signature = inspect.signature(function(name))
    assert signature.return_annotation is not signature.empty
    untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert untyped == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_explained(name: str) -> None:
    """In the section Parameters, at the start of a line, alone or in a list."""
    lines = [line for line in section(name, "Parameters").splitlines() if line[:1].strip()]
    explained = {word for line in lines for word in re.findall(r"\w+", line.split(" : ")[0])}
    assert set(inspect.signature(function(name)).parameters) - explained == set()
    prose = [line for line in section(name, "Parameters").splitlines() if line.startswith("    ")]
    assert len(prose) >= len(lines)


@pytest.mark.parametrize("name", [*FUNCTIONS, *sorted(CLASSES)])
def test_a_docstring_starts_with_a_sentence(name: str) -> None:
    first = (inspect.getdoc(getattr(fc, name)) or "").split("\n\n")[0]
    assert first.rstrip().endswith(".")
    assert "confidence interval" not in (getattr(fc, name).__doc__ or "").lower()


@pytest.mark.parametrize("name", ["Observations", "Posterior", "FlowEstimates"])
def test_every_public_member_of_a_result_is_documented(name: str) -> None:
    found = getattr(fc, name)
    attributes = inspect.getdoc(found) or ""
    for member in (m for m in vars(found) if not m.startswith("_")):
        value = inspect.getattr_static(found, member)
        own = getattr(value, "__doc__", None) if not inspect.ismemberdescriptor(value) else None
        assert own or re.search(rf"\b{member}\b", attributes), member


def test_errors_are_caught_by_one_name() -> None:
    assert issubclass(fc.InputError, fc.FlowcastError)
    assert issubclass(fc.FlowcastError, Exception)
    with pytest.raises(fc.FlowcastError):
        fc.observations_from_frame(pd.DataFrame([REPORT | {"destination": "XX"}]))


def test_a_name_is_the_same_object_wherever_it_is_taken_from() -> None:
    from flowcast.estimates import summarise
    from flowcast.posterior import Posterior

    assert fc.summarise is summarise
    assert fc.Posterior is Posterior


def test_a_specification_is_frozen_and_refuses_unknown_fields() -> None:
    spec = fc.ModelSpec(name="mine")
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        fc.ModelSpec.model_validate({"name": "mine", "proces": {}})


# --- what objects say of themselves --------------------------------------------------------------


def objects() -> dict[str, Any]:
    posterior = tiny_posterior(4, 2)
    return {
        "Observations": fc.observations_from_frame(pd.DataFrame([REPORT]), name="my.csv"),
        "Posterior": posterior,
        "FlowEstimates": fc.flow_estimates(posterior),
        "SimulatedWorld": fc.simulate_world(3, 2, seed=1),
    }


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("Observations", ["my.csv", "1 rows", "2 places", "2020-01-01 to 2020-12-31", "role fit"]),
        ("Posterior", ["tiny", "12 corridors x 2 periods", "80 latent draws", "gate passed"]),
        ("FlowEstimates", ["flow of tiny", "12 corridors", "persons per period", "12-month"]),
        ("SimulatedWorld", ["3 places x 2 periods", "reports"]),
    ],
)
def test_a_repr_is_one_line_of_facts(name: str, facts: list[str]) -> None:
    text = repr(objects()[name])
    assert name in text
    assert [fact for fact in facts if fact not in text] == []
    assert "\n" not in text
    assert " at 0x" not in text
    assert len(text) < 300


@pytest.mark.parametrize("name", ["Observations", "Posterior", "FlowEstimates"])
def test_a_page_is_well_formed_and_has_a_table(name: str) -> None:
    page = ElementTree.fromstring(f"<div>{objects()[name]._repr_html_()}</div>")
    assert page.find(".//table") is not None
    assert page.findall(".//tr//th")
    assert page.find(".//script") is None


def test_the_page_of_observations_counts_what_is_reported() -> None:
    page = ElementTree.fromstring(f"<div>{objects()['Observations']._repr_html_()}</div>")
    heads = [cell.text for cell in page.findall(".//thead//th")]
    cells = [cell.text for cell in page.findall(".//tbody//td")]
    found = dict(zip(heads, cells, strict=True))
    assert (found["n_rows"], found["n_pairs_one"], found["n_pairs_none"]) == ("1", "1", "1")


def test_names_from_outside_cannot_write_into_a_page() -> None:
    evil = "<script>alert(1)</script>"
    given = fc.observations_from_frame(pd.DataFrame([REPORT | {"source": evil}]), name=evil)
    assert evil not in given._repr_html_()
    assert "&lt;script&gt;" in given._repr_html_()
    declared = tiny_posterior((evil, "DE"), 1, spec={"codes": "declared"})
    assert evil not in fc.flow_estimates(declared)._repr_html_()
