"""From a run to a release: what may be published, and the folder that is."""

from flowcast.publication.judge import Judgement, judge_release
from flowcast.publication.protection import protect_tables
from flowcast.publication.quality import QUALITY_GRADES, grade_table
from flowcast.publication.release import PublicationRefusedError, publish
from flowcast.publication.rounding import round_table, rounding_step

__all__ = [
    "QUALITY_GRADES",
    "Judgement",
    "PublicationRefusedError",
    "grade_table",
    "judge_release",
    "protect_tables",
    "publish",
    "round_table",
    "rounding_step",
]
