"""`flowcast displacement`: what it writes, refuses, and how it ends."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from flowcast.cli import app
from flowcast.displacement import (
    DisplacementSpec,
    fit_displacement,
    forecast_displacement,
    join_drivers,
    make_panel,
    read_displacement,
    read_fit,
    write_fit,
)
from flowcast.errors import InputError


def run_flowcast(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["displacement", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("displacement")
    rng = np.random.default_rng(1)
    rows = [
        (place, year, hazard, int(rng.lognormal(8, 2)) + 1)
        for place in ("PHL", "VNM", "BGD", "HTI", "MOZ")
        for hazard in ("Flood", "Storm")
        for year in range(2008, 2020)
        if rng.random() < 0.6
    ]
    columns = ["ISO3", "Year", "Hazard Type", "Disaster Internal Displacements"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "events.csv", index=False)
    (folder / "quick.yaml").write_text("tune: 5\ndraws: 20\nsweeps: 1\n", encoding="utf-8")
    ended = run_flowcast(
        "fit", folder / "events.csv", "--source", "idmc_disaster", "--until", 2018,
        "--settings", folder / "quick.yaml", "--out", folder / "fit.nc", "--quiet",
    )  # fmt: skip
    # Twenty draws of two chains converge on nothing: written, and told.
    assert ended.exit_code == 3, ended.output
    assert "chains do not agree yet" in ended.output
    return folder


def test_a_fit_becomes_a_table_of_years_to_come(files: Path) -> None:
    ended = run_flowcast("project", files / "fit.nc", "--years", 2, "--out", files / "table.csv")
    assert ended.exit_code == 3, ended.output
    assert "below 50 suppressed" in ended.output
    table = pd.read_csv(files / "table.csv")
    assert set(table["year"]) == {2019, 2020}
    assert set(table["prob"]) == {0.5, 0.8, 0.95}
    shown = table[["median", "lower", "upper"]].to_numpy()
    assert np.nanmin(shown) >= 50
    assert table["suppressed"].any()


def test_a_fit_that_was_read_draws_the_same_years(files: Path) -> None:
    panel = make_panel(read_displacement("idmc_disaster", files / "events.csv"))
    index = pd.MultiIndex.from_product([sorted(set(panel.names("place"))), panel.years])
    heat = pd.Series(np.random.default_rng(2).normal(size=len(index)), index=index)
    made = fit_displacement(
        panel, DisplacementSpec(tune=2, draws=8), drivers=join_drivers(panel, {"heat": heat})
    )
    write_fit(made, files / "own.nc")
    again = read_fit(files / "own.nc")
    assert again.spec == made.spec
    assert again.drivers.names == ("heat",)
    pd.testing.assert_frame_equal(
        again.diagnostics, made.diagnostics, check_names=False, check_dtype=False
    )
    xr.testing.assert_equal(forecast_displacement(again, 2), forecast_displacement(made, 2))


def test_what_is_refused(files: Path, tmp_path: Path) -> None:
    events = files / "events.csv"
    asked = ["fit", events, "--out", tmp_path / "fit.nc", "--source"]
    wrong = run_flowcast(*asked, "idmc_disasters")
    assert wrong.exit_code == 2
    assert "did you mean idmc_disaster" in wrong.output
    assert run_flowcast(*asked, "idmc_disaster", "--sum", "place").exit_code == 2
    conflict = run_flowcast(*asked, "idmc_conflict")
    assert conflict.exit_code == 1
    assert "no such column" in conflict.output
    assert not (tmp_path / "fit.nc").exists()
    assert run_flowcast("project", events).exit_code == 1
    assert run_flowcast("project", tmp_path / "none.nc").exit_code == 1
    with pytest.raises(InputError, match="no such file"):
        read_fit(tmp_path / "none.nc")
    xr.DataTree().to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(InputError, match="another kind of file"):
        read_fit(tmp_path / "other.nc")
