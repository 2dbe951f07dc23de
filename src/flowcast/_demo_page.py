"""The demo's page: one HTML file that needs no network, readable without seeing its figures."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowcast._demo_tables import FLOW_COLUMNS, INTERVAL, MARKS, TOTAL_COLUMNS
from flowcast._pages import render_template
from flowcast.posterior import Posterior

__all__ = ["PICTURES", "SOURCE", "Picture", "build_page"]

SOURCE: Final = (
    "Source: Eurostat, migr_imm5prv and migr_emi3nxt, update of 2 July 2026; selection and country "
    "codes changed."
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the page.

    Attributes
    ----------
    name
        Its file, without suffix.
    kind, place
        As for `flowcast.plots.plot`.
    title, caption
        What stands above and below it.
    """

    name: str
    kind: str
    title: str
    caption: str
    place: str | None = None


PICTURES: Final = (
    Picture(
        "coverage",
        "coverage",
        "Who reports what",
        "Each cell is one origin and destination. Where nobody reports, the estimate rests on the "
        "model alone.",
    ),
    Picture(
        "reports_NL",
        "reports",
        "The Netherlands: estimates against reports",
        "A country with a population register, whose figures are near those of its partners.",
        place="NL",
    ),
    Picture(
        "reports_SK",
        "reports",
        "Slovakia: estimates against reports",
        "A country that counts permanent moves only: its figures are about a seventh of what its "
        "partners report for the same moves.",
        place="SK",
    ),
    Picture(
        "heatmap",
        "heatmap",
        "All flows, and how well they are known",
        "Read both grids together: a dark cell in the second says that the first is vague there.",
    ),
    Picture(
        "prior_posterior",
        "prior_posterior",
        "What the reports taught the model",
        "Where posterior and prior coincide, the reports say nothing, and the estimate depends on "
        "the experts behind the prior.",
    ),
    Picture(
        "prior_predictive",
        "prior_predictive",
        "What the model expected before it saw a report",
        "The priors should allow the reports there are, and not much that is absurd.",
    ),
)


def build_page(
    posterior: Posterior,
    flows: Sequence[Sequence[str]],
    totals: Sequence[Sequence[str]],
    pictures: Sequence[tuple[Picture, bytes, str]],
) -> str:
    """Return the page.

    Parameters
    ----------
    posterior
        What the page is about.
    flows, totals
        Rows as from `flow_rows` and `total_rows`.
    pictures
        Figures with the bytes of their PNG and their description in words.
    """
    return render_template(
        "demo.html",
        spec=posterior.spec,
        gate=posterior.gate,
        interval=INTERVAL,
        marks=MARKS,
        source=SOURCE,
        flow_columns=FLOW_COLUMNS,
        flows=flows,
        total_columns=TOTAL_COLUMNS,
        totals=totals,
        pictures=[_shown(*picture) for picture in pictures],
    )


def _shown(picture: Picture, png: bytes, alt: str) -> dict[str, Any]:
    data = f"data:image/png;base64,{b64encode(png).decode('ascii')}"
    return {"title": picture.title, "caption": picture.caption, "data": data, "alt": alt}
