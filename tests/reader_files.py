"""Files of publishers, as recorded or made here, with invented figures; and ways to spoil them."""

import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import openpyxl

FIXTURES = Path(__file__).parent / "fixtures" / "sources"
PAGE = b"""<!DOCTYPE html>
<html lang="en"><head><title>503 Service
 Unavailable</title></head><body><h1>Service Unavailable</h1></body></html>
"""

type Sheets = Mapping[str, list[list[object]]]


def write_book(path: Path, sheets: Sheets) -> Path:
    """Write a workbook of these sheets."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


STOCK_YEARS = [1990, 2024]
STOCKS_2024: Sheets = {
    "Contents": [["United Nations"], ["List of tables"]],
    "Table 1": [
        *[["United Nations"], ["Population Division"], []],
        [*[None] * 7, "Both sexes combined", None, "Male", None, "Female", None],
        [
            "Index",
            "Region, development group, country or area of destination",
            "Coverage",
            "Data type",
            "Location code of destination",
            "Region, development group, country or area of origin",
            "Location code of origin",
            *STOCK_YEARS * 3,
        ],
        [1, "World", None, None, 900, "World", 900, 1000, 2000, 520, 1040, 480, 960],
        [2, "World", None, None, 900, "Poland", 616, 90, 95, 40, 45, 50, 50],
        [3, "Germany", "1", "B", 276, "World", 900, 300, 700, 160, 360, 140, 340],
        [4, "Germany", "1", "B", 276, "Poland", 616, 30, 70, 16, 36, 14, 34],
        [5, "Germany", "1", "B", 276, "Others", 2003, 5, 6, 2, 3, 3, 3],
        [6, "Japan", "1", "C", 392, "Brazil", 76, "..", 20, "..", 9, "..", 11],
        [7, "Europe", None, None, 908, "Poland", 616, 60, 80, 30, 40, 30, 40],
    ],
    "NOTES": [["Notes"]],
}
STOCKS_2020: Sheets = {
    "Table 1": [
        *[["United Nations"]] * 9,
        [
            "Index",
            "Region, development group, country or area of destination",
            "Notes of destination",
            "Location code of destination",
            "Type of data of destination",
            "Region, development group, country or area of origin",
            "Location code of origin",
            *[1990, 2020] * 3,
        ],
        [1, "Sudan", "2", 729, "B R", "South Sudan", 728, 11, 12, 5, 6, 6, 6],
        [2, "Channel Islands", None, 830, "B", "France", 250, 3, 4, 1, 2, 2, 2],
    ],
}
FLOW_HEAD = ["Type", "Coverage", "OdName", "AREA", "AreaName", "REG", "RegName", "DEV", "DevName"]
FLOW_TITLE: list[list[object]] = [
    *[[None]] * 3,
    ["United Nations"],
    ["International Migration Flows to and from Selected Countries: The 2015 Revision"],
    *[[None]] * 15,
]
PLACE = [908, "Europe", 924, "Northern Europe", 901, "Developed regions"]
FLOWS_2015: Sheets = {
    "Sweden by Residence": [
        *FLOW_TITLE,
        [*FLOW_HEAD, 1991, 2012],
        ["Immigrants", "Both", "Total", *PLACE, 490, 1030],
        ["Immigrants", "Both", "Norway", *PLACE, 110, 120],
        ["Immigrants", "Foreigners", "Norway", *PLACE, 60, 70],
        ["Immigrants", "Both", "Yugoslavia (former)", *PLACE, 40, "3"],
        ["Emigrants", "Both", "Republic of Korea", *PLACE, "..", 12],
        ["Emigrants", "Both", "Unknown", *PLACE, 9, 8],
        ["Emigrants", "Both", "Total", *PLACE, 240, 510],
        ["Symbols:", "Two dots (..) indicate that data are not available"],
    ],
    "Sweden by Citizenship": [
        *FLOW_TITLE,
        [*FLOW_HEAD, 1991, 2012],
        ["Emigrants", "Both", "Sweden", *PLACE, 150, 250],
        ["Emigrants", "Both", "Finland", *PLACE, 31, 32],
    ],
    "Regions by Residence": [["Type"], ["a pivot of regions"]],
}
# As passed on by users: the block above the header cut off, numbers saved as text.
FLOWS_BARE: Sheets = {
    "Italy by Residence": [
        [*FLOW_HEAD, "1995", "1996"],
        ["Immigrants", "Both", "Albania", *PLACE, "81", ".."],
    ]
}
GIDD_2022: Sheets = {
    "README": [["Title", "Internal displacement"]],
    "1_Displacement_data": [
        ["ISO3", "Name", "Year", "Conflict Stock Displacement", "Disaster Internal Displacements"],
        ["SDN", "Sudan", 2022, 3600, 100],
    ],
}

ACROSS = "Remittance-receiving country (across)      -      Remittance-sending country (down)"
REMITTANCES_2021: Sheets = {
    "Read me": [["Bilateral remittances"], ["Read the note"]],
    "BRM 2021 ": [
        ["Bilateral Remittance Matrix (US$ million)"],
        [ACROSS, "Egypt, Arab Rep.", "Kenya", "Namibia", "World"],
        ["Germany", 12.5, 31, 0, 43.5],
        ["Kenya", None, 2, 0.75, 2.75],
        ["Other North", 4, 5, 6, 15],
        ["Viet Nam", "..", 7, None, 7],
        ["World", 16.5, 45, 6.75, 68.25],
        ["Note: the cells are estimates"],
    ],
}
REMITTANCES_2017: Sheets = {
    "Bilateral_Remittances_2017": [
        ["Bilateral Remittance Estimates for 2017 (millions of US$) (April 2018 version)"],
        ["receiving (across) / sending (down) ", "Congo, Dem. Rep.", "Turkey", "WORLD"],
        ["Korea, Rep.", 3, 14, 17],
        ["WORLD", 3, 14, 17],
    ],
}
SSP_BOOK: Sheets = {
    "data": [
        ["Model", "Scenario", "Region", "Variable", "Unit", 2010, 2015],
        ["OECD Env-Growth", "SSP2", "DEU", "GDP|PPP", "billion US$2005/yr", 2800, 3000.5],
        ["OECD Env-Growth", "SSP2", "World", "GDP|PPP", "billion US$2005/yr", 67000, 80000],
        [None, None, None, None, None, None, None],
        ["(c) SSP Public Database", None, None, None, None, None, None],
    ]
}


FSI_2006: Sheets = {
    "Sheet1": [
        ["Country", "Year", "Rank", "Total", "C1: Security Apparatus"],
        ["Sudan", "2006-01-01 00:00:00", "1st", 112.3, 9.8],
        ["Namibia", "2006-01-01 00:00:00", "86th", 73.2, 5.5],
    ],
}


@dataclass(frozen=True)
class Case:
    """A whole file, and what to change in it.

    `header` is a name in it and what it is changed into; `wrong` makes another data set of it.
    """

    reader: str
    file: str | Sheets
    header: tuple[str, str]
    wrong: bytes | tuple[str, str] | None = None
    options: dict[str, object] = field(default_factory=dict)
    suffix: str = ""

    @property
    def name(self) -> str:
        kind = self.file.rpartition(".")[2] if isinstance(self.file, str) else "xlsx"
        return f"{self.reader}-{kind}{self.suffix}"

    def make(self, folder: Path) -> Path:
        if isinstance(self.file, str):
            target = folder / Path(self.file).name
            shutil.copyfile(FIXTURES / self.file, target)
            return target
        return write_book(folder / f"{self.reader}.xlsx", self.file)


OTHER_CSV = b"iso,indicator,amount\nDE,gdp,12\nFR,gdp,13\n"
OTHER_JSON = b'{"message": "nothing here", "data": {"DE": 12}}'

CASES = [
    Case(
        "eurostat_flows",
        "eurostat/migr_imm5prv.json",
        ('"size"', '"sizes"'),
        ("MIGR_IMM5PRV", "TPS00001"),
    ),
    Case(
        "eurostat_flows",
        "eurostat/migr_emi3nxt.csv",
        ("OBS_VALUE", "VALUE"),
        ("MIGR_EMI3NXT", "LFSA_ARGAN"),
    ),
    Case("eurostat_flows", "eurostat/migr_imm1ctz.tsv", (",citizen,", ",nation,"), OTHER_CSV),
    Case("eurostat_population", "eurostat/demo_pjan.csv", (",geo,", ",area,"), ("PJAN", "PJANX")),
    Case("un_stocks", STOCKS_2024, ("Location code of origin", "Origin code")),
    Case("un_flows", FLOWS_2015, ("OdName", "Partner")),
    Case(
        "wpp_net_migration",
        "wpp/WPP2024_Demographic_Indicators_Medium.csv",
        ("NetMigrations", "NetMigrants"),
        OTHER_CSV,
    ),
    Case(
        "wpp_population",
        "wpp/WPP2024_Demographic_Indicators_Medium.csv",
        ("TPopulation1July", "Population"),
        OTHER_CSV,
    ),
    Case("unhcr_population", "unhcr/population.json", ('"coo_iso"', '"coo_is"'), OTHER_JSON),
    Case("unhcr_population", "unhcr/population.csv", ("asylum (ISO)", "asylum"), OTHER_CSV),
    Case(
        "unhcr_applications",
        "unhcr/asylum-applications.json",
        ('"applied"', '"applications_"'),
        OTHER_JSON,
    ),
    Case("idmc_displacement", "idmc/displacement_data.csv", ("ISO3", "Iso"), OTHER_CSV),
    Case("idmc_displacement", GIDD_2022, ("ISO3", "Country code")),
    Case("dtm_displacement", "iom/dtm_admin0.json", ("numPresentIdpInd", "idps"), OTHER_JSON),
    Case(
        "missing_migrants",
        "iom/missing_migrants.csv",
        ("Country of Incident", "Place"),
        OTHER_CSV,
    ),
    Case(
        "meta_flows",
        "meta/international_migration_flow.csv",
        ("num_migrants", "migrants"),
        OTHER_CSV,
    ),
    Case(
        "meta_connectedness",
        "meta/sci_2021.tsv",
        ("scaled_sci", "sci"),
        OTHER_CSV,
        {"month": "2021-10"},
    ),
    Case("world_bank", "world_bank/SP.POP.TOTL.json", ('"date"', '"year"'), OTHER_JSON),
    Case("oecd_migration", "oecd/mig.csv", ("CITIZENSHIP", "NATIONALITY"), OTHER_CSV),
    Case(
        "ilostat_migration",
        "ilostat/MFL_NCIT_SEX_CCT_NB_A.csv",
        ("ref_area", "area"),
        ("MFL_NCIT_SEX_CCT_NB", "MFL_FPOP_SEX_CBR_NB"),
    ),
    Case("bilateral_remittances", REMITTANCES_2021, (ACROSS, "destination (across)")),
    Case(
        "wpp_population_change",
        "wpp/WPP2024_Demographic_Indicators_Change.csv",
        ("PopChange", "PopGrowth"),
        OTHER_CSV,
    ),
    Case("unhcr_arrivals", "unhcr/flows.csv", (",refugees,", ",refugee,"), OTHER_CSV),
    Case(
        "scholar_moves",
        "scholars/scopus_countryflows.csv",
        ("n_migrations,", "migrations,"),
        OTHER_CSV,
    ),
    Case("fragile_states", "political/fsi.csv", (",Total,", ",Sum,"), OTHER_CSV),
    Case("fragile_states", FSI_2006, ("Total", "Sum")),
    Case("vdem_indices", "political/vdem.csv", ("v2x_polyarchy", "polyarchy"), OTHER_CSV),
    Case("governance_indicators", "mgi/mgi.csv", ("indicator_code", "question"), OTHER_CSV),
    Case(
        "advertising_audience",
        "audience/audience.csv",
        ("users_lower_bound", "users_low"),
        OTHER_CSV,
    ),
    Case(
        "search_index",
        "search/multiTimeline.csv",
        ("Week,", "Weekly,"),
        OTHER_CSV,
        {"destination": "DE"},
    ),
    Case(
        "ssp_pathways",
        "futures/ssp_wide.csv",
        ("Region", "Area"),
        ("Population,million", "Emissions|CO2,Mt"),
        {"scenario": "SSP2"},
    ),
    Case(
        "ssp_pathways",
        "futures/ssp_long.csv",
        ("variable", "item"),
        ("NCAR", "CMIP5"),
        {"scenario": "SSP2", "model": "NCAR"},
        "-long",
    ),
    Case(
        "ssp_pathways",
        SSP_BOOK,
        ("Unit", "Measure"),
        None,
        {"scenario": "SSP2", "model": "OECD Env-Growth"},
    ),
    Case(
        "iamc",
        "futures/iamc.csv",
        ("Region", "Area"),
        OTHER_CSV,
        {"scenario": "Middle", "model": "Model A"},
    ),
    Case(
        "country_temperature",
        "futures/country_temperature.csv",
        ("dt_p10", "p10"),
        OTHER_CSV,
        {"scenario": "rcp85"},
    ),
    Case(
        "global_temperature",
        "futures/global_temperature.csv",
        (",T,", ",temp,"),
        OTHER_CSV,
        {"scenario": "SSP245"},
    ),
]


def numbers_in(case: Case, path: Path) -> set[float]:
    """Return every number that stands in a file."""
    if isinstance(case.file, str):
        return {float(n) for n in re.findall(r"-?\b\d+(?:\.\d+)?", path.read_text("utf-8"))}
    cells = {cell for rows in case.file.values() for row in rows for cell in row}
    return {float(str(cell)) for cell in cells if re.fullmatch(r"-?\d+(\.\d+)?", str(cell))}


def truncate(case: Case, path: Path) -> None:
    """Cut the file in the middle of a line, as an interrupted download does."""
    data = path.read_bytes()
    part = data[: 3 * len(data) // 4].rstrip()
    path.write_bytes(part if isinstance(case.file, Mapping) else part[:-1])


def swap(case: Case, path: Path) -> None:
    """Put another sheet or data set in its place."""
    if isinstance(case.wrong, bytes):
        path.write_bytes(case.wrong)
    elif case.wrong is not None:
        path.write_text(path.read_text("utf-8").replace(*case.wrong), "utf-8")
    else:
        write_book(path, {"Notes": [["Notes"], ["See the annex"]]})


def change_header(case: Case, path: Path) -> None:
    """Rename a column, a key or a dimension that is needed."""
    if isinstance(case.file, str):
        path.write_text(path.read_text("utf-8").replace(*case.header), "utf-8")
        return
    old, new = case.header
    write_book(
        path,
        {n: [[new if c == old else c for c in r] for r in rows] for n, rows in case.file.items()},
    )


def spoil_encoding(case: Case, path: Path) -> None:
    """Save it in Latin-1, or break the text within a workbook."""
    if isinstance(case.file, str):
        data = path.read_bytes()
        middle = data.index(b"\n", len(data) // 2)
        path.write_bytes(data[:middle] + b"\xe9" + data[middle:])
        return
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, data in parts.items():
            bad = name.startswith("xl/worksheets/")
            book.writestr(
                name, data.replace(b"<sheetData>", b"<sheetData>\xe9\xff") if bad else data
            )


def replace_by_page(case: Case, path: Path) -> None:
    """Put the error page of a server in its place."""
    del case
    path.write_bytes(PAGE)


CORRUPTIONS: dict[str, tuple[Callable[[Case, Path], None], str]] = {
    "truncated": (truncate, "whole|fields as|cut off|header|number"),
    "wrong sheet": (swap, "allowed"),
    "changed header": (change_header, "allowed"),
    "bad encoding": (spoil_encoding, "UTF-8|not a readable workbook"),
    "error page": (replace_by_page, "an HTML page \\(503 Service Unavailable\\)"),
}
