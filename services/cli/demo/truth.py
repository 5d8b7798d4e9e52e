"""What everybody who was asked would have said, by the model: what the scores of those who answered estimate. Pure."""

from collections import defaultdict
from dataclasses import dataclass

from services.cli.demo.model import in_dip, nps
from services.cli.demo.reading import Score
from services.cli.demo.run import Result
from services.cli.demo.world import COUNTRY


@dataclass(frozen=True)
class Truth:
    """Exact scores over all invitations, and how many of the `cells` measured intervals cover theirs."""

    month: dict[str, float]
    region: dict[str, float]
    dip: float | None
    covered: int
    cells: int


def truth_of(result: Result) -> Truth:
    """Ask the model about every invitation."""
    months: dict[str, list[int]] = defaultdict(list)
    regions: dict[str, list[int]] = defaultdict(list)
    dip: list[int] = []
    for invitation in result.seen.invitations:
        sale, reply = result.plan.sales[invitation.event], result.plan.reply(invitation)
        months[sale.at.strftime("%Y-%m-01")].append(reply.score)
        regions[f"{COUNTRY}/{sale.store.region}"].append(reply.score)
        if in_dip(sale):
            dip.append(reply.score)
    month, region = _exact(months), _exact(regions)
    inside = _inside(result.scores["month"], month) + _inside(result.scores["region"], region)
    return Truth(month, region, nps(dip), sum(inside), len(inside))


def _exact(groups: dict[str, list[int]]) -> dict[str, float]:
    return {group: value for group, scores in groups.items() if (value := nps(scores)) is not None}


def _inside(scores: list[Score], exact: dict[str, float]) -> list[bool]:
    return [
        score.low <= exact[score.group[0]] <= score.high
        for score in scores
        if score.group[0] in exact
    ]
