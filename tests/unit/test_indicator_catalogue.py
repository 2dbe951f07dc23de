"""The catalogue of indicators: what is in it, its faults, and that no fit takes an indicator."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from flowcast.errors import Fault, HeldOutError, InputError
from flowcast.inference import estimate
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import READERS
from flowcast.validation import Indicator, indicator_table, load_catalogue
from flowcast.validation.catalogue import INDICATOR_COLUMNS, KINDS

ASKED_FOR = {
    "net_migration_wpp", "net_migration_national", "population_change_wpp", "stock_growth_un",
    "asylum_unhcr", "refugee_arrivals_unhcr", "remittances_world_bank", "foreign_born_lfs",
    "connectedness_meta", "scholar_moves_openalex", "fragile_states", "electoral_democracy",
    "migration_governance",
}  # fmt: skip
HEADER = "id,role,kind,title,sources,measures,estimate,unit,direction,gap"
ROW = "tourists,heldout,related,Tourists,border_crossings,nights,flow,nights,positive,no residents"


def write(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "indicators.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def faults_of(path: Path) -> Sequence[Fault]:
    with pytest.raises(InputError) as refused:
        load_catalogue(path)
    return refused.value.faults


def test_what_was_asked_for_is_there_and_every_kind() -> None:
    catalogue = load_catalogue()
    assert set(catalogue.ids) >= ASKED_FOR
    assert {entry.kind for entry in catalogue} == set(KINDS)
    assert sum(len(catalogue.select(kind)) for kind in KINDS) == len(catalogue)


@pytest.mark.parametrize("entry", list(load_catalogue()), ids=lambda e: e.id)
def test_an_entry_states_its_gap_and_can_be_read(entry: Indicator) -> None:
    assert len(entry.gap.split()) >= 8
    assert entry.role == ("covariate" if entry.kind == "context" else "heldout")
    if entry.reader:
        gives = READERS[entry.reader].gives
        assert not (gives == "covariates" and entry.estimate in ("flow", "pair_sum"))
        assert not (gives == "corridors" and entry.estimate not in ("flow", "pair_sum"))
    cells = entry.model_dump(mode="json").values()
    assert [t for t in cells if isinstance(t, str) and t != " ".join(t.split())] == []


def test_an_own_catalogue_is_added(tmp_path: Path) -> None:
    catalogue = load_catalogue(write(tmp_path, ROW))
    assert catalogue.ids[-1] == "tourists"
    assert len(catalogue) == len(load_catalogue()) + 1


def test_all_faults_of_a_catalogue_are_told_with_row_and_column(tmp_path: Path) -> None:
    good = ROW.split(",")
    again = ",".join(["asylum_unhcr", *good[1:]])
    source = ROW.replace("border_crossings", "border_crossing mine")
    found = faults_of(write(tmp_path, again, source.replace("tourists", "guests")))
    assert [(f.row, f.column) for f in found] == [(2, "id"), (3, "sources"), (3, "sources")]
    assert {f.hint for f in found} == {"", "border_crossings"}


def test_words_are_told_with_the_nearest(tmp_path: Path) -> None:
    found = faults_of(
        write(
            tmp_path,
            ROW.replace("related", "relatd"),
            ROW.replace("tourists", "b").replace("no residents", ""),
            ROW.replace("tourists", "c").replace("positive", ""),
            header=HEADER,
        )
    )
    assert [(f.row, f.column, f.hint) for f in found] == [
        (2, "kind", "related"), (3, "gap", ""), (4, None, ""),
    ]  # fmt: skip
    assert found[2].allowed == "a direction if related"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "same"}, "a direction if related"),
        ({"kind": "same", "direction": "", "bound": "upper"}, "a bound of related ones only"),
        ({"kind": "same", "direction": "", "window": "run"}, "the window own"),
        ({"kind": "context", "estimate": "", "direction": ""}, "the role covariate for context"),
        ({"estimate": ""}, "an estimate, unless"),
        ({"transform": "growth"}, "a reader to be told that"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    cells = dict(zip(HEADER.split(","), ROW.split(","), strict=True)) | changes
    (fault,) = faults_of(write(tmp_path, ",".join(cells.values()), header=",".join(cells)))
    assert said in fault.allowed


def test_a_misspelt_column_is_told(tmp_path: Path) -> None:
    (fault,) = faults_of(write(tmp_path, ROW + ",x", header=HEADER + ",windo"))
    assert fault.hint == "window"
    assert fault.allowed == ", ".join(INDICATOR_COLUMNS)


def test_an_unknown_indicator_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no indicator 'asylum_unhc'.*did you mean asylum_unhcr"):
        load_catalogue().entry("asylum_unhc")


def test_no_fit_takes_an_indicator() -> None:
    """As observations named after it, as part of it, or as the table itself."""
    row = {
        "source": "asylum_unhcr", "family": "administrative", "measure": "flow", "origin": "DE",
        "destination": "FR", "year": 2020, "value": 10.0, "reporter": "other",
    }  # fmt: skip
    reports = observations_from_frame(pd.DataFrame([row]), name="flows.csv")
    with pytest.raises(HeldOutError, match=r"row 2\) \| found source 'asylum_unhcr'.*'heldout'"):
        estimate("europe_2024", reports)
    part = observations_from_frame(pd.DataFrame([row | {"source": "fragile_states_c1"}]))
    with pytest.raises(HeldOutError, match="'covariate'"):
        part.require_fit()
    table = indicator_table(pd.DataFrame([row]), "asylum_unhcr")
    assert table.role == "held_out"
    with pytest.raises(HeldOutError, match="the indicator asylum_unhcr, which is held out"):
        table.require_fit()
