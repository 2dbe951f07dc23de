"""The hierarchical model of schedules: terms, likelihood, and what it refuses. No sampling."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    STANDARD_SCHEDULE,
    Schedule,
    age_shares,
    check_age_table,
    group_rates,
)
from flowcast.accounting._age_curves import VARIANTS
from flowcast.errors import InputError, UsageError
from flowcast.inference.ages import sample_schedules
from flowcast.model.ages import (
    AGE_PRIORS,
    HALF_KNOWN,
    AgePrior,
    age_terms,
    build_age_model,
    rc_parameters,
)
from flowcast.priors import Prior

COUNTS = xr.DataArray(
    np.random.default_rng(3).poisson(40.0, (3, 18)).astype(float),
    {"place": ["A", "B", "C"], "age": list(FIVE_YEAR_AGES)},
)
PEOPLE = COUNTS * 90.0 + 100.0
TYPICAL = {name: prior.mean.numbers[0] for name, prior in AGE_PRIORS.items()}


def terms_of(n: int, *, exposure: bool) -> dict[str, np.ndarray]:
    """Return terms of two places."""
    names = age_terms(n, exposure=exposure)
    return {name: np.array([TYPICAL[name], TYPICAL[name] + 0.1]) for name in names}


@pytest.mark.parametrize("n", VARIANTS)
def test_a_schedule_has_as_many_terms_as_parameters(n: int) -> None:
    """Where people at risk are known; of shares the level is none."""
    assert len(age_terms(n, exposure=True)) == n
    assert len(age_terms(n, exposure=False)) == n - 1
    assert set(age_terms(n, exposure=True)) <= set(AGE_PRIORS) == set(HALF_KNOWN)


@pytest.mark.parametrize("n", VARIANTS)
def test_terms_become_parameters_of_rogers_and_castro(n: int) -> None:
    terms = terms_of(n, exposure=True)
    table = check_age_table(COUNTS, PEOPLE)
    found = rc_parameters(terms, table)
    assert set(found) == set(VARIANTS[n])
    schedule = Schedule.of(**{k: xr.DataArray(v, dims="place") for k, v in found.items()})
    area = group_rates(schedule, FIVE_YEAR_AGES).to_numpy() @ table.groups.width
    np.testing.assert_allclose(area, 100.0 * np.exp(terms["level"]), rtol=1e-9)
    fine = np.linspace(5.0, 60.0, 55_001)
    gone = fine - found["mu2"][1]
    labour = np.exp(-found["alpha2"][1] * gone - np.exp(-found["lambda2"][1] * gone))
    assert fine[labour.argmax()] == pytest.approx(terms["peak_age"][1], abs=2e-3)


def test_the_weight_of_children_is_their_share_against_that_of_the_labour_force() -> None:
    table = check_age_table(COUNTS)
    found = rc_parameters(terms_of(7, exposure=False), table)
    area = {}
    for name in ("a1", "a2", "c"):
        alone = {k: v if k == name or k not in ("a1", "a2", "c") else 0.0 * v
                 for k, v in found.items()}  # fmt: skip
        schedule = Schedule.of(**{k: xr.DataArray(v, dims="place") for k, v in alone.items()})
        area[name] = group_rates(schedule, FIVE_YEAR_AGES).to_numpy() @ table.groups.width
    np.testing.assert_allclose(np.log(area["a1"] / area["a2"])[0], TYPICAL["child_weight"])
    np.testing.assert_allclose(sum(area.values()), 1.0, rtol=1e-9)


def test_priors_are_near_the_fundamental_parameters() -> None:
    """Whose peak is at 23.5 years; the mean of places is expected later, within a sd."""
    table = check_age_table(COUNTS)
    own = rc_parameters({k: v[:1] for k, v in terms_of(7, exposure=False).items()}, table)
    assert own["alpha1"] == pytest.approx(STANDARD_SCHEDULE["alpha1"], rel=0.05)
    assert own["lambda2"] == pytest.approx(STANDARD_SCHEDULE["lambda2"], rel=0.05)
    shares = age_shares(Schedule.of(**{k: float(v[0]) for k, v in own.items()}), FIVE_YEAR_AGES)
    standard = age_shares(Schedule.of(**STANDARD_SCHEDULE), FIVE_YEAR_AGES)
    assert float(abs(shares - standard).sum()) < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("exposure", [False, True])
def test_the_density_is_that_of_the_distributions(exposure: bool) -> None:
    """By SciPy, at a point; it compiles a PyMC graph."""
    table = check_age_table(COUNTS, PEOPLE if exposure else None)
    names = age_terms(7, exposure=exposure)
    model = build_age_model(table)
    rng = np.random.default_rng(5)
    mean = np.array([TYPICAL[n] for n in names]) + 0.1 * rng.standard_normal(len(names))
    spread, noise = np.full(len(names), 0.3), 0.1
    total = COUNTS.sum("age").to_numpy()
    told = total / (1.0 + total * 0.05**2 / 18)
    own = told[:, None] / (told[:, None] + np.array([HALF_KNOWN[n] for n in names]))
    raw = own * mean + spread**own * 0.2 * rng.standard_normal((3, len(names)))
    place = mean + spread ** (1 - own) * (raw - own * mean)
    found = rc_parameters({n: place[:, k] for k, n in enumerate(names)}, table)
    schedule = Schedule.of(**{k: xr.DataArray(v, dims="place") for k, v in found.items()})
    rate = group_rates(schedule, FIVE_YEAR_AGES).to_numpy()
    if exposure:
        mu, size = rate * PEOPLE.to_numpy(), noise**-2.0
        likelihood = stats.nbinom(size, size / (size + mu)).logpmf(COUNTS).sum()
    else:
        share = rate * table.groups.width
        share /= share.sum(axis=1, keepdims=True)
        likelihood = sum(
            stats.dirichlet_multinomial(18 * s / noise**2, int(n)).logpmf(c.astype(int))
            for s, n, c in zip(share, total, COUNTS.to_numpy(), strict=True)
        )
    point = {
        "mean": mean,
        "spread_log__": np.log(spread),
        "noise_log__": np.log(noise),
        "raw": raw,
    }
    got = model.compile_logp(vars=model.observed_RVs, mode="FAST_COMPILE")(point)
    assert float(got) == pytest.approx(float(likelihood), rel=1e-6)


@pytest.mark.parametrize(
    ("table", "options", "error", "said"),
    [
        (COUNTS, {"n_parameters": 8}, UsageError, "found 8; allowed: 7, 9, 11, 13"),
        (COUNTS[0], {}, UsageError, "found one place; allowed: two or more"),
        (COUNTS + 0.5, {}, InputError, "whole persons: this is a model of counts"),
        (COUNTS * 0.0, {}, InputError, "found tables without migrants"),
        (-COUNTS, {}, InputError, "persons, 0 or more"),
        (COUNTS[:, :5], {}, InputError, "found 5 age groups"),
    ],
)
def test_what_cannot_be_sampled(
    table: xr.DataArray, options: dict[str, int], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        sample_schedules(table, **options)  # type: ignore[arg-type]


def test_a_prior_of_no_term_is_refused() -> None:
    prior = AgePrior(Prior.make("normal", [25.0, 1.0]), Prior.make("log_normal", [0.0, 0.5]))
    with pytest.raises(UsageError, match=r"\(priors, peek_age\) .* did you mean peak_age"):
        build_age_model(check_age_table(COUNTS), priors={"peek_age": prior})
