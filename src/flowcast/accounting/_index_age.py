"""Indices of age: when people move most, and how sharply."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from flowcast.accounting._named import check_values, refuse_dims
from flowcast.errors import Faults

__all__ = ["age_profile", "schedule_indices"]


def age_profile(
    intensity: xr.DataArray,
    *,
    lowest: float = 5.0,
    highest: float = 65.0,
    around: float = 5.0,
    width: float = 1.0,
) -> xr.Dataset:
    """Return what an age profile of migration looks like.

    - ``gross_migraproduction_rate``: the sum of intensities over all ages, times the width of a
      group; moves of a person who lives through all ages (Rogers 1975, Introduction to
      multiregional mathematical demography);
    - ``peak_age``, ``peak_intensity``: where intensity is highest, and how high (Bell et al. 2002,
      doi 10.1111/1467-985X.00247); of equal ones the youngest;
    - ``peak_breadth``: the sum of intensities from `around` years below the peak to as many above
      it, times the width; ``peak_share``: what percentage that is of the sum over all ages (Bell &
      Muhidin 2009, Human Development Research Paper 2009/30);
    - ``upward_rate``, ``downward_rate``: the steepest rise from one age to the next before the peak
      (from `lowest` on), and the steepest fall after it (to `highest`), per year of age;
      ``asymmetry``: the first over the second (Bernard, Bell & Charles-Edwards 2014, doi
      10.1080/00324728.2014.890243). NaN where there is no rise, or no fall.

    Noise of single ages moves the peak and the rates: smooth the profile first, or use draws.

    Parameters
    ----------
    intensity
        Moves per person (or per 1,000), 0 or more, by ``age``: numbers, equally apart. Other dims
        stay.
    lowest, highest
        Ages between which the peak is looked for: small children move with their parents, and the
        very old to be cared for.
    around
        Years on each side of the peak that belong to it.
    width
        Years that an age group is wide.

    Returns
    -------
    xarray.Dataset
        With the other dims.

    Raises
    ------
    InputError
        If ages are not numbers in equal steps of `width`, none lies between `lowest` and `highest`,
        or intensities are negative, not finite, or all 0 there.

    Examples
    --------
    >>> ages = [0, 5, 10, 15, 20, 25, 30]
    >>> profile = xr.DataArray([0.4, 0.3, 0.2, 0.5, 0.8, 0.6, 0.5], {"age": ages})
    >>> found = age_profile(profile, width=5)
    >>> float(found["peak_age"]), float(found["peak_intensity"])
    (20.0, 0.8)
    >>> round(float(found["asymmetry"]), 2)
    1.5
    """
    faults = Faults("age profile")
    refuse_dims(faults, "intensity", intensity, ["age"], [str(d) for d in intensity.dims])
    faults.raise_if_any()
    _check_ages(faults, intensity, width)
    check_values(faults, "intensity", intensity, what="intensities, 0 or more")
    faults.raise_if_any()
    profile = intensity.astype(np.float64).transpose(..., "age").rename(None)
    age = np.asarray(profile.indexes["age"], dtype=np.float64)
    inner = (age >= lowest) & (age <= highest)
    if not inner.any():
        found = f"ages {age[0]:g} to {age[-1]:g}"
        faults.add(found, f"ages between {lowest:g} and {highest:g} too", column="age")
    elif (profile.to_numpy()[..., inner] == 0.0).all(axis=-1).any():
        faults.add("a profile without moves", f"moves between {lowest:g} and {highest:g}")
    faults.raise_if_any()
    values = profile.to_numpy()
    peak = np.where(inner, values, -np.inf).argmax(axis=-1)
    near = np.abs(age - age[peak][..., None]) <= around
    height = np.take_along_axis(values, peak[..., None], axis=-1)[..., 0]
    total, breadth = values.sum(axis=-1), np.where(near, values, 0.0).sum(axis=-1)
    slope, start = np.diff(values, axis=-1) / width, np.arange(len(age) - 1)
    rising = inner[:-1] & (start < peak[..., None])
    falling = inner[1:] & (start >= peak[..., None])
    up = np.where(rising, slope, 0.0).max(axis=-1, initial=0.0)
    down = np.where(falling, -slope, 0.0).max(axis=-1, initial=0.0)
    up, down = (np.where(rate > 0.0, rate, np.nan) for rate in (up, down))
    one = profile.isel(age=0, drop=True)
    results = {
        "gross_migraproduction_rate": total * width,
        "peak_age": age[peak],
        "peak_intensity": height,
        "peak_breadth": breadth * width,
        "peak_share": 100.0 * breadth / total,
        "upward_rate": up,
        "downward_rate": down,
        "asymmetry": up / down,
    }
    return xr.Dataset({name: one.copy(data=np.asarray(v)) for name, v in results.items()})


def schedule_indices(parameters: Mapping[str, float | xr.DataArray] | xr.Dataset) -> xr.Dataset:
    """Return indices of a model migration schedule from its parameters.

    Of ``m(x) = a1 exp(-alpha1 x) + a2 exp(-alpha2 (x - mu2) - exp(-lambda2 (x - mu2))) [...] + c``
    (Rogers & Castro 1981, Model migration schedules, IIASA Research Report RR-81-30):

    - ``child_dependency`` a1 / a2 and ``labour_dependency`` a2 / a1: the weight of children moving
      with their parents against that of the labour force;
    - ``labour_asymmetry`` lambda2 / alpha2: how much steeper the rise to the peak is than the fall;
    - ``regularity`` alpha1 / alpha2: whether children's curve falls as that of their parents;
    - ``peaking`` mu2, the location of the labour force curve; and ``labour_peak_age``, the age at
      which that curve is highest, ``mu2 + log(lambda2 / alpha2) / lambda2``;
    - with a retirement curve: ``retirement_dependency`` a3 / a2, and with a peak of it
      ``retirement_asymmetry`` lambda3 / alpha3.

    Parameters
    ----------
    parameters
        By name: a1, alpha1, a2, alpha2, mu2, lambda2, and any of a3, alpha3, mu3, lambda3, c and
        others, which are not needed. Arrays (draws, places) broadcast.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    InputError
        If a parameter is missing, or one that is divided by is not above 0.

    Examples
    --------
    >>> curve = dict(a1=0.02, alpha1=0.1, a2=0.06, alpha2=0.1, mu2=20, lambda2=0.4, c=0.003)
    >>> found = schedule_indices(curve)
    >>> {str(k): round(float(v), 2) for k, v in found.items()}
    {'child_dependency': 0.33, 'labour_dependency': 3.0, 'labour_asymmetry': 4.0,
     'regularity': 1.0, 'peaking': 20.0, 'labour_peak_age': 23.47}
    """
    faults = Faults("schedule")
    needed = ("a1", "alpha1", "a2", "alpha2", "mu2", "lambda2")
    given = {str(name): xr.DataArray(value) for name, value in parameters.items()}
    missing = [name for name in needed if name not in given]
    if missing:
        faults.add(f"no {', '.join(missing)}", f"parameters {', '.join(needed)}")
    faults.raise_if_any()
    also = [name for name in ("a3", "alpha3", "lambda3") if name in given]
    for name in (*needed, *also):
        if name == "mu2":
            check_values(faults, name, given[name], minimum=-np.inf, what="an age, finite")
        else:
            check_values(faults, name, given[name], above=True, what="a number above 0")
    faults.raise_if_any()
    p = {name: value.astype(np.float64).drop_attrs() for name, value in given.items()}
    steepness = p["lambda2"] / p["alpha2"]
    later = steepness.copy(data=np.log(steepness.to_numpy())) / p["lambda2"]
    found = {
        "child_dependency": p["a1"] / p["a2"],
        "labour_dependency": p["a2"] / p["a1"],
        "labour_asymmetry": steepness,
        "regularity": p["alpha1"] / p["alpha2"],
        "peaking": p["mu2"],
        "labour_peak_age": p["mu2"] + later,
    }
    if "a3" in p:
        found["retirement_dependency"] = p["a3"] / p["a2"]
    if {"alpha3", "lambda3"} <= set(p):
        found["retirement_asymmetry"] = p["lambda3"] / p["alpha3"]
    return xr.Dataset(found)


def _check_ages(faults: Faults, intensity: xr.DataArray, width: float) -> None:
    ages = intensity.indexes.get("age")
    if ages is None or len(ages) < 2 or not pd.api.types.is_numeric_dtype(ages.dtype):
        told = "no labels" if ages is None else ", ".join(str(a) for a in ages[:5])
        faults.add(told, "two ages or more, as numbers", column="age")
        return
    steps = np.diff(np.asarray(ages, dtype=np.float64))
    if not (width > 0.0 and np.allclose(steps, width)):
        told = ", ".join(f"{step:g}" for step in np.unique(steps)[:5])
        faults.add(f"ages {told} years apart", f"the width of a group, {width:g}", column="age")
