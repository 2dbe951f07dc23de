"""From a run to a release: what may be published, and the folder that is."""

from flowcast.publication.judge import Judgement, judge_release
from flowcast.publication.release import PublicationRefusedError, publish

__all__ = ["Judgement", "PublicationRefusedError", "judge_release", "publish"]
