"""What scenarios are made of: drivers, distributions, years, matrices, return levels, weights."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from flowcast.errors import InputError, UsageError
from flowcast.priors import PRIOR_SHAPES, Prior
from flowcast.scenarios import DRIVERS, return_level
from flowcast.scenarios._targets import make_codes, select_pairs, select_places
from flowcast.scenarios.catalogue import OPERATIONS, driver
from flowcast.scenarios.distributions import SHAPES, Distribution, paired_uniforms
from flowcast.scenarios.extremes import MIN_YEARS, shock_weights
from flowcast.scenarios.matrices import read_matrix
from flowcast.scenarios.spec import Scenario

AT = np.array([0.025, 0.3, 0.5, 0.9])
ASKED_FOR = {
    "population",
    "working_age_share",
    "gdp_per_head",
    "education",
    "urban_share",
    "temperature",
    "precipitation",
    "drought",
    "crop_yield",
    "sea_level",
    "conflict",
    "policy_openness",
    "free_movement",
    "visa",
}


# Drivers


def test_every_driver_that_was_asked_for_is_there() -> None:
    assert set(DRIVERS) >= ASKED_FOR


@pytest.mark.parametrize("name", DRIVERS)
def test_a_driver_makes_sense(name: str) -> None:
    one = DRIVERS[name]
    assert one.low < one.high
    assert one.title[0].isupper()
    assert set(one.operations) <= set(OPERATIONS)
    assert "multiply" not in one.operations or one.low >= 0
    assert all(one.low <= value <= one.high for value in one.states.values())
    assert one.default is None or one.low <= one.default <= one.high
    assert one.default is None or one.of == "corridor"
    assert one.unit not in one.units


def test_an_unknown_driver_is_told_with_the_nearest() -> None:
    assert driver("visa") is DRIVERS["visa"]
    with pytest.raises(InputError, match="did you mean urban_share"):
        driver("urban_shre")
    with pytest.raises(ValueError, match="did you mean required"):
        DRIVERS["visa"].number("requird")


# Distributions


@pytest.mark.parametrize("shape", PRIOR_SHAPES)
def test_quantiles_of_priors_are_those_of_their_draws(shape: str) -> None:
    numbers = {"beta": [2.0, 3.0], "half_t": [4.0, 0.7]}.get(
        shape, [0.8, 0.4][: len(PRIOR_SHAPES[shape])]
    )
    prior = Prior.make(shape, numbers)
    draws = prior.draw(np.random.default_rng(1), 200_000)
    below = (draws[:, None] <= prior.quantile(AT)).mean(axis=0)
    # Four standard errors of a share of 200,000.
    np.testing.assert_allclose(below, AT, atol=0.0045)


@pytest.mark.parametrize(
    ("shape", "numbers", "reference"),
    [
        ("uniform", [2.0, 5.0], stats.uniform(2.0, 3.0)),
        ("triangular", [1.0, 1.5, 3.0], stats.triang(0.25, 1.0, 2.0)),
        ("triangular", [1.0, 1.0, 3.0], stats.triang(0.0, 1.0, 2.0)),
        ("normal", [1.0, 0.5], stats.norm(1.0, 0.5)),
        ("log_normal", [0.2, 0.5], stats.lognorm(0.5, scale=np.exp(0.2))),
        ("positive_normal", [0.2, 0.5], stats.truncnorm(-0.4, np.inf, 0.2, 0.5)),
    ],
)
def test_distributions_have_the_quantiles_of_their_shape(
    shape: str, numbers: list[float], reference: stats.rv_continuous
) -> None:
    found = Distribution.make(shape, numbers)
    np.testing.assert_allclose(found.quantile(AT), reference.ppf(AT))
    assert found.plain == {shape: numbers}


@pytest.mark.parametrize(
    ("shape", "numbers", "said"),
    [
        ("trianguler", [1, 2, 3], "did you mean triangular"),
        ("precision_gamma", [1, 2], "unknown distribution"),
        ("uniform", [1], r"2 numbers \(low, high\)"),
        ("uniform", [1, "a"], "2 numbers"),
        ("triangular", [1, 4, 3], "low <= mode <= high"),
        ("uniform", [2, 2], "low < high"),
        ("normal", [1, -1], "sd: found -1"),
    ],
)
def test_a_wrong_distribution_says_what_is_allowed(shape: str, numbers: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Distribution.make(shape, numbers)


def test_every_shape_of_a_prior_is_taken_over_or_left_out_knowingly() -> None:
    assert set(PRIOR_SHAPES) - set(SHAPES) == {"half_t", "precision_gamma"}


def test_random_numbers_depend_on_key_seed_and_index_alone() -> None:
    one = paired_uniforms("drivers.rain", 1000, 1)
    assert (one[:10] == paired_uniforms("drivers.rain", 10, 1)).all()
    for key, seed in (("drivers.rain", 2), ("drivers.rail", 1)):
        other = paired_uniforms(key, 1000, seed)
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.13  # four standard errors
    assert stats.kstest(one, "uniform").pvalue > 0.001
    assert 0 < one.min() < one.max() < 1


# Years


@pytest.mark.parametrize(
    ("given", "spans"),
    [
        (2030, ((2030, 2030),)),
        ("2027-2029", ((2027, 2029),)),
        ("2027\u201329", ((2027, 2029),)),
        ("2027 - 2029", ((2027, 2029),)),
        ("2027-", ((2027, 9999),)),
        (["2040-", 2030, "2027-29"], ((2027, 2029), (2030, 2030), (2040, 9999))),
        (None, None),
    ],
)
def test_years_are_read_as_people_write_them(given: object, spans: object) -> None:
    entry = {"operation": "multiply", "value": 1, "unit": "ratio", "reference": "a"}
    whole = {"name": "a", "drivers": {"b": {**entry, "driver": "conflict", "years": given}}}
    assert Scenario.model_validate(whole).drivers["b"].years == spans


@pytest.mark.parametrize("given", [[], "27-29", "2027-2026", 2027.5, True, "2027,2029"])
def test_other_years_are_refused(given: object) -> None:
    entry = {"operation": "multiply", "value": 1, "unit": "ratio", "reference": "a"}
    whole = {"name": "a", "drivers": {"b": {**entry, "driver": "conflict", "years": given}}}
    with pytest.raises(ValueError, match="2027-2029"):
        Scenario.model_validate(whole)


# Places


def test_places_are_meant_by_code_and_by_grouping() -> None:
    labels = ["DEU", "NAM", "USA"]
    codes = make_codes("alpha3")
    assert select_places(labels, ["NA"], codes).tolist() == [False, True, False]
    assert select_places(labels, ["EU27_2020", "USA"], codes).tolist() == [True, False, True]
    assert select_places(labels, ["*"], codes).all()
    assert select_places(["EU27_2020"], ["EU27_2020"], make_codes(None)).all()


def test_corridors_are_meant_by_both_sides() -> None:
    origins, destinations = ["DE", "DE", "US", "FR"], ["US", "FR", "DE", "DE"]
    codes = make_codes("alpha2")
    meant = select_pairs(origins, destinations, ["EU27_2020/EU27_2020", "*/US"], codes)
    assert meant.tolist() == [True, True, False, True]


# Matrices


def test_a_matrix_is_read_in_either_form(tmp_path: Path) -> None:
    wide, tidy = tmp_path / "wide.csv", tmp_path / "tidy.csv"
    wide.write_text(",DEU,FRA\nSYR,required,\nNA,0.5,2\n", encoding="utf-8")
    tidy.write_text(
        "origin,destination,value\nSYR,DEU,required\nNA,DEU,0.5\nNA,FRA,2\n", encoding="utf-8"
    )
    expected = {"SYR": {"DEU": "required"}, "NA": {"DEU": 0.5, "FRA": 2.0}}
    assert read_matrix(wide) == read_matrix(tidy) == expected


def test_a_matrix_with_faults_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tidy.csv"
    text = "origin,destination,value\nSYR,DEU,1\nSYR,DEU,2\n,DEU,3\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_matrix(path)
    assert [(f.row, f.found) for f in refused.value.faults] == [
        (3, "SYR/DEU again"),
        (4, "an empty cell"),
    ]
    path.write_text("from,destination,value\nSYR,DEU,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="a column of origins"):
        read_matrix(path)


# Return levels


@pytest.mark.parametrize("tail", ["low", "high"])
@pytest.mark.parametrize(
    ("name", "truth", "tolerance"),
    [
        ("normal", stats.norm(600.0, 100.0), 3.0),
        ("log_normal", stats.lognorm(0.3, scale=600.0), 8.0),
    ],
)
def test_return_levels_are_the_quantiles_of_what_was_drawn(
    tail: str, name: str, truth: stats.rv_continuous, tolerance: float
) -> None:
    values = truth.rvs(100_000, random_state=np.random.default_rng(1))
    level = return_level(values, 50, tail=tail, distribution=name)  # type: ignore[arg-type]
    assert level == pytest.approx(truth.ppf(0.02 if tail == "low" else 0.98), abs=tolerance)


def test_gumbel_levels_are_the_quantiles_of_what_was_drawn() -> None:
    truth = stats.gumbel_r(50.0, 10.0)
    values = truth.rvs(100_000, random_state=np.random.default_rng(1))
    high = return_level(values, 100, tail="high", distribution="gumbel")
    assert high == pytest.approx(truth.ppf(0.99), abs=0.5)
    low = return_level(-values, 100, tail="low", distribution="gumbel")
    assert low == pytest.approx(-high)


def test_a_gumbel_fit_has_the_l_moments_of_the_sample() -> None:
    values = np.random.default_rng(3).gumbel(5.0, 2.0, 12)
    pairs = [abs(a - b) / 2 for i, a in enumerate(values) for b in values[:i]]
    scale = np.mean(pairs) / np.log(2)
    location = values.mean() - np.euler_gamma * scale
    found = return_level(values, 20, tail="high", distribution="gumbel")
    assert found == pytest.approx(stats.gumbel_r(location, scale).ppf(0.95))


def test_missing_years_count_for_nothing_and_short_histories_have_no_level() -> None:
    values = np.random.default_rng(1).normal(10.0, 1.0, (2, 30))
    gaps = np.column_stack([values, np.full((2, 5), np.nan)])
    for name in ("normal", "log_normal", "gumbel"):
        whole = return_level(values, 20, tail="low", distribution=name)  # type: ignore[arg-type]
        same = return_level(gaps, 20, tail="low", distribution=name)  # type: ignore[arg-type]
        np.testing.assert_allclose(same, whole)
    assert np.isnan(return_level(values[:, : MIN_YEARS - 1], 20, tail="low")).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"period": 1.0, "tail": "low"}, "above 1 year"),
        ({"period": 50, "tail": "left"}, "low, high"),
        ({"period": 50, "tail": "low", "distribution": "norml"}, "did you mean normal"),
        ({"period": 50, "tail": "low", "distribution": "log_normal"}, "positive values"),
    ],
)
def test_a_return_level_that_cannot_be_told_is_refused(
    options: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        return_level(np.arange(-2.0, 20.0), **options)  # type: ignore[arg-type]


def test_a_shock_starts_lasts_and_decays() -> None:
    years = np.arange(2025, 2036)
    weights = shock_weights(years, 2027, 3, 2.0)
    assert weights[:2].tolist() == [0.0, 0.0]
    assert weights[2:5].tolist() == [1.0, 1.0, 1.0]
    assert weights[6] == 0.5
    assert weights[8] == 0.25
    assert shock_weights(years, 2027, 3, 0.0).tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]


# The package


def test_the_package_loads_nothing_heavy() -> None:
    code = "import sys, flowcast.scenarios as s; dir(s); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"pandas", "numpy", "pydantic", "xarray", "yaml"} == set()


def test_the_package_has_no_other_names() -> None:
    import flowcast.scenarios as package

    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing
