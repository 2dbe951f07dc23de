"""A held-out source, or a covariate, cannot enter a fit by accident."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowcast._source_roles import find_barred, read_roles
from flowcast.errors import HeldOutError, InputError
from flowcast.inference import estimate
from flowcast.observations import Observations, observations_from_frame, read_observations
from flowcast.validation.splits import split_folds

HEADER = "source,family,measure,origin,destination,year,value,reporter"
OWN = "id,publisher,title,family,measure,role\n"


def row(source: str, year: int = 2020, reporter: str = "destination") -> dict[str, Any]:
    return {
        "source": source,
        "family": "estimate",
        "measure": "flow",
        "origin": "DE",
        "destination": "FR",
        "year": year,
        "value": 10,
        "reporter": reporter,
    }


def observed(*sources: str, **options: Any) -> Observations:  # noqa: ANN401
    rows = [row(source, 2000 + k) for k, source in enumerate(sources)]
    return observations_from_frame(pd.DataFrame(rows), name="flows.csv", **options)


def write_flows(folder: Path, *sources: str) -> Path:
    path = folder / "flows.csv"
    lines = [
        ",".join(str(cell) for cell in row(source, 2000 + k).values())
        for k, source in enumerate(sources)
    ]
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("source", "role"), [("imem_2013", "heldout"), ("un_wpp_2024", "covariate")]
)
def test_a_fit_refuses_it_and_names_source_and_rows(source: str, role: str) -> None:
    observations = observed("mine", source, "mine", source)
    with pytest.raises(HeldOutError) as refused:
        observations.require_fit()
    said = str(refused.value)
    assert f"(flows.csv, rows 3, 5) | found source '{source}'" in said
    assert repr(role) in said
    assert "allowed: only sources with the role 'fit'" in said


def test_every_such_source_is_named_and_long_lists_of_rows_are_cut() -> None:
    observations = observed("abel_cohen_2019", *["imem_2013"] * 8)
    with pytest.raises(HeldOutError) as refused:
        observations.require_fit()
    first, second = str(refused.value).splitlines()
    assert "row 2) | found source 'abel_cohen_2019'" in first
    assert "rows 3, 4, 5, 6, 7 and 3 more) | found source 'imem_2013'" in second


def test_a_source_that_may_enter_passes() -> None:
    observed("mine", "eurostat_migr_imm5prv", "un_flows_2015").require_fit()


def test_rows_are_those_of_the_file_blank_lines_counted(tmp_path: Path) -> None:
    path = write_flows(tmp_path, "mine", "imem_2013")
    path.write_text(path.read_text().replace("\nimem", "\n\n\nimem"))
    with pytest.raises(HeldOutError, match=r"row 5\)"):
        read_observations(path).require_fit()


def test_a_wholly_held_out_file_is_held_out_itself(tmp_path: Path) -> None:
    observations = read_observations(write_flows(tmp_path, "imem_2013", "gaskin_abel_2025"))
    assert observations.role == "held_out"
    assert observed("mine", "imem_2013").role == "fit"
    assert observed("un_wpp_2024").role == "fit"


def test_parts_remember_it_and_lose_it_with_their_last_row() -> None:
    observations = observed("mine", "imem_2013", "mine")
    mine = observations.table["source"].to_numpy() == "mine"
    observations.select(mine).require_fit()
    with pytest.raises(HeldOutError, match="row 3"):
        observations.select(np.array([False, True, True])).require_fit()
    joined = observations.select(mine).concat(observed("abel_cohen_2019", "b"))
    with pytest.raises(HeldOutError, match="abel_cohen_2019"):
        joined.require_fit()


def test_it_cannot_be_split_for_a_validation() -> None:
    observations = observed("mine", "imem_2013", "mine", "mine")
    with pytest.raises(HeldOutError, match="imem_2013"):
        observations.split(0.5, 1)
    with pytest.raises(HeldOutError, match="imem_2013"):
        list(split_folds(observations, folds=2))


# A registry beside the file


def test_the_registry_beside_the_file_counts(tmp_path: Path) -> None:
    path = write_flows(tmp_path, "mine", "theirs")
    read_observations(path).require_fit()
    (tmp_path / "sources.csv").write_text(f"{OWN}theirs,They,T,estimate,flow,heldout\n")
    with pytest.raises(HeldOutError, match="theirs"):
        read_observations(path).require_fit()


def test_a_registry_may_be_named(tmp_path: Path) -> None:
    registry = tmp_path / "registry.csv"
    registry.write_text(f"{OWN}theirs,They,T,estimate,flow,heldout\n")
    with pytest.raises(HeldOutError, match="theirs"):
        observed("mine", "theirs", registry=registry).require_fit()


def test_a_registry_that_is_named_and_one_beside_the_file_both_count(tmp_path: Path) -> None:
    path = write_flows(tmp_path, "mine", "theirs", "others")
    (tmp_path / "sources.csv").write_text(f"{OWN}theirs,They,T,estimate,flow,heldout\n")
    named = tmp_path / "named.csv"
    named.write_text(f"{OWN}others,They,T,estimate,flow,heldout\n")
    barred = read_observations(path, registry=named).barred
    assert [one.source for one in barred] == ["others", "theirs"]
    named.write_text(f"{OWN}theirs,They,T,estimate,flow,fit\n")
    with pytest.raises(InputError, match="the role of theirs in another one"):
        read_observations(path, registry=named)


def test_a_registry_with_faults_is_refused_not_passed_over(tmp_path: Path) -> None:
    path = write_flows(tmp_path, "mine")
    (tmp_path / "sources.csv").write_text(f"{OWN}theirs,They,T,estimate,flow,held_out\n")
    with pytest.raises(InputError, match=r"row 2, role.*did you mean heldout"):
        read_observations(path)


def test_no_registry_can_let_a_held_out_source_in(tmp_path: Path) -> None:
    path = write_flows(tmp_path, "imem_2013")
    (tmp_path / "sources.csv").write_text(f"{OWN}imem_2013,They,T,estimate,flow,fit\n")
    with pytest.raises(InputError, match="the role of imem_2013 in the registry of flowcast"):
        read_observations(path)


# The fit itself


def test_estimate_refuses_it_before_anything_is_computed(tmp_path: Path) -> None:
    path = write_flows(tmp_path, "mine", "imem_2013")
    model = tmp_path / "mine.yaml"
    model.write_text("name: mine\ndata: {observations: [flows.csv]}\n")
    with pytest.raises(HeldOutError, match=r"flows\.csv, row 3\) \| found source 'imem_2013'"):
        estimate(model)
    with pytest.raises(HeldOutError, match="imem_2013"):
        estimate(model, observations=read_observations(path))


SOURCES = st.lists(st.sampled_from(["mine", "imem_2013", "un_wpp_2024", "oecd_imd"]), max_size=30)


@given(SOURCES)
def test_barred_rows_are_exactly_those_of_sources_that_may_not_enter(sources: list[str]) -> None:
    roles = read_roles()
    rows = range(2, 2 + len(sources))
    barred = find_barred(sources, rows, roles)
    told = {number for one in barred for number in one.rows}
    pairs = zip(rows, sources, strict=True)
    assert told == {n for n, source in pairs if roles.get(source, "fit") != "fit"}
    assert [one.source for one in barred] == sorted({one.source for one in barred})
