"""Write the regions of the IAMC code lists: countries as nomenclature names them, and groupings.

Run it after a change of `data/codelists/groupings.csv`, or of nomenclature's names of countries.
"""

from pathlib import Path

from flowcast.iamc.libraries import load_nomenclature
from flowcast.places import all_places, grouping_ids, grouping_name, members

FOLDER = Path(__file__).resolve().parents[1] / "data" / "codelists" / "iamc" / "definitions"
HEAD = "# Written by tools/iamc_regions.py; a test compares it with its sources.\n"
# Kosovo has no code in ISO 3166. Of the two in use nomenclature has KOS.
OTHER_CODES = {"XKX": "KOS"}


def country_names() -> dict[str, str]:
    """Return the names of countries that exist, as the IAMC community writes them, by alpha-3."""
    named = load_nomenclature().countries.get_mapping("alpha_3", "name")
    codes = {p.alpha3: OTHER_CODES.get(p.alpha3, p.alpha3) for p in all_places() if not p.valid_to}
    return {alpha3: named[code] for alpha3, code in codes.items()}


def region_name(group: str, m49: set[str]) -> str:
    """Return what a grouping is called among regions: M49's say so, since others share names."""
    name = grouping_name(group)
    return f"{name} (M49)" if name in m49 else name


def main() -> None:
    """Write `countries.yaml` and `groupings.yaml`."""
    names = country_names()
    places = [p for p in all_places() if p.alpha3 in names]
    m49 = {n for p in places for n in (p.region, p.subregion, p.intermediate_region) if n}
    lines = [HEAD + "- Country:\n"]
    for alpha3, name in sorted(names.items(), key=lambda item: item[1]):
        code = OTHER_CODES.get(alpha3, alpha3)
        lines.append(f'    - "{name}":\n        iso3_codes: "{code}"\n')
    (FOLDER / "region" / "countries.yaml").write_text("".join(lines), encoding="utf-8")
    lines = [HEAD + "- Grouping:\n"]
    for group in grouping_ids():
        inside = ", ".join(f'"{names[code]}"' for code in members(group))
        lines.append(f'    - "{region_name(group, m49)}":\n        grouping: {group}\n')
        lines.append(f"        countries: [{inside}]\n")
    (FOLDER / "region" / "groupings.yaml").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
