"""The report of a demo, for a terminal of 100 columns and as JSON."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.cli.context import Context
from services.cli.demo.cdnow import customers_of
from services.cli.demo.definitions import METRIC
from services.cli.demo.model import DIP_MONTH, DIP_REGION
from services.cli.demo.reading import Score
from services.cli.demo.run import Result
from services.cli.demo.truth import Truth, truth_of
from services.cli.demo.world import COUNTRY, REGIONS

_WIDTH = 100
_STRIP = 26


def show(console: Console, result: Result) -> None:
    """Print the whole report."""
    truth = truth_of(result)
    console.print()
    console.rule(f"[bold]{_title(result)}", style="dim")
    _put(console, "What happened", _facts(result))
    _put(console, "What became of the events", _decisions(result))
    for by, of in (("month", truth.month), ("region", truth.region)):
        table = _scores(result.scores[by], of, drawn=console.width >= _WIDTH)
        _put(console, f"Net Promoter Score by {'store region' if by == 'region' else by}", table)
    console.print(Padding(_dip(result, truth), (0, 2)))
    console.print(
        "  [dim]● those who answered, ─ the 95 % interval of that; ◆ all who were asked, as the model knows them: "
        f"\n  inside {truth.covered} of {truth.cells} intervals (95 % are to be expected)"
    )
    _put(console, "Laws", _laws(result))
    if result.given_up:
        console.print(
            Padding(
                f"[red]Nothing moved any more, so it was not waited further: {result.given_up}",
                (1, 2, 0, 2),
            )
        )
    if result.visits.refused:
        console.print(
            Padding(
                f"[red]{len(result.visits.refused):,} forms were not taken, e.g. {result.visits.refused[0]}",
                (1, 2, 0, 2),
            )
        )
    console.print()


def as_json(result: Result) -> dict[str, Any]:
    """The same for programs."""
    truth = truth_of(result)
    return {
        "seed": result.plan.seed,
        "held": result.held,
        "laws": [asdict(law) for law in result.laws],
        "facts": dict(_fact_rows(result)),
        "decisions": {
            f"{outcome}: {reason}" if reason else outcome: n
            for (outcome, reason), n in _outcomes(result)
        },
        "scores": {by: [asdict(score) for score in scores] for by, scores in result.scores.items()},
        "everybody": {"month": truth.month, "region": truth.region},
        "seconds": {name: round(seconds, 3) for name, seconds in result.seconds.items()},
        "given_up": result.given_up,
    }


def invite(console: Console, demo: Context, own: Context, path: Path, result: Result) -> None:
    """What to try now: three things in the demo's workspace, and where the quickstart goes on."""
    answered = set(result.sent.forms)
    unanswered = next((i for i in result.seen.invitations if i.id not in answered), None)
    silenced = next((d.event for d in result.seen.decisions if d.reason == "contact_policy"), None)
    curl = "curl -s -H 'authorization: Bearer " + demo.api_key + "'"
    console.rule("[bold]Afterword stays up", style="dim")
    console.print(f"  {own.url}   Ctrl-C ends it", soft_wrap=True)
    console.print()
    console.print("  [bold]1[/]  Open a link that nobody has answered yet", soft_wrap=True)
    console.print(
        f"     {unanswered.link if unanswered else '(all were answered)'}", soft_wrap=True
    )
    console.print(
        "  [bold]2[/]  Read a score: the Net Promoter Score of each region", soft_wrap=True
    )
    console.print(
        f"     {curl} '{demo.url}/v1/scores?metric={METRIC}&by=org@2'", markup=False, soft_wrap=True
    )
    console.print("  [bold]3[/]  Why was this customer not asked?", soft_wrap=True)
    console.print(
        f"     {curl} '{demo.url}/v1/decisions?event={silenced}'", markup=False, soft_wrap=True
    )
    console.print()
    console.print(
        "  The workspace [bold]dev[/] is empty and yours; other commands use it:", soft_wrap=True
    )
    console.print("     afterword apply -f examples/quickstart", markup=False, soft_wrap=True)
    console.print(f"  Its key is {own.api_key} (kept in {path})", markup=False, soft_wrap=True)


def _title(result: Result) -> str:
    sales = list(result.plan.sales.values())
    customers = customers_of([sale.purchase for sale in sales])
    first, last = sales[0].at, sales[-1].at
    return (
        f"{len(sales):,} purchases of {customers:,} CDNOW customers, {first:%Y-%m} to {last:%Y-%m}"
    )


def _put(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(f"  [bold]{title}")
    console.print(Padding(table, (0, 0, 0, 1)))


def _table(*columns: tuple[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=True, header_style="dim")
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]  # one of rich's words
    return table


def _fact_rows(result: Result) -> list[tuple[str, str]]:
    plan, seconds, visits = result.plan, result.seconds, result.visits
    asked, answered = len(result.seen.invitations), len(visits.accepted)
    sent = len(plan.schedule.sales)
    flow = seconds["sending"] + seconds["deciding"]
    return [
        (
            "events sent",
            f"{sent:,}   {len(plan.schedule.twice):,} of them twice, {len(plan.schedule.late):,} late, in {seconds['sending']:.1f} s: {sent / seconds['sending']:,.0f} events/s",
        ),
        (
            "events decided",
            f"{len(result.seen.decisions):,}   {flow:.1f} s after the first was sent: {len(plan.sales) / flow:,.0f} events/s from end to end",
        ),
        ("customers asked", f"{asked:,}   {_share(asked, len(plan.sales))} of the purchases"),
        (
            "forms answered",
            f"{answered:,}   {_share(answered, asked)} of those asked, in {seconds['answering']:.1f} s; {visits.comments:,} with a reason, {visits.sent_twice:,} sent twice",
        ),
        (
            "alerts",
            f"{len(result.seen.alerts):,}   raised; {len(result.seen.verified):,} arrived with a genuine signature",
        ),
    ]


def _facts(result: Result) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for name, text in _fact_rows(result):
        number, _, rest = text.partition("   ")
        table.add_row(name, number, rest)
    return table


def _outcomes(result: Result) -> Iterable[tuple[tuple[str, str | None], int]]:
    return Counter((d.outcome, d.reason) for d in result.seen.decisions).most_common()


def _decisions(result: Result) -> Table:
    table = _table(("decision", "left"), ("reason", "left"), ("events", "right"), ("", "right"))
    for (outcome, reason), n in _outcomes(result):
        table.add_row(
            outcome,
            (reason or "").replace("_", " "),
            f"{n:,}",
            _share(n, len(result.seen.decisions)),
        )
    return table


def _scores(scores: list[Score], truth: dict[str, float], *, drawn: bool) -> Table:
    """The scores with their intervals; a narrow terminal gets the numbers without the drawing."""
    columns = (
        ("", "left"),
        ("NPS", "right"),
        ("95 % interval", "right"),
        ("n", "left"),
        ("everybody", "right"),
    )
    table = _table(*columns, *([("", "left")] if drawn else []))
    low = min((score.low for score in scores), default=-100)
    high = max((score.high for score in scores), default=100)
    for score in scores:
        whole = truth.get(score.group[0])
        small = "[yellow] small[/]" if score.small_n else ""
        table.add_row(
            _name(score.group[0]),
            f"[bold]{score.value:.1f}",
            f"[{score.low:.1f}, {score.high:.1f}]".replace("[", "\\[", 1),
            f"n={score.n:,}{small}",
            "" if whole is None else f"{whole:.1f}",
            *([_strip(score, whole, low, high)] if drawn else []),
        )
    return table


def _strip(score: Score, whole: float | None, low: float, high: float) -> str:
    """The interval as a line, the score on it, and what everybody would have said."""

    def at(value: float) -> int:
        return round((min(max(value, low), high) - low) / ((high - low) or 1) * (_STRIP - 1))

    cells = [" "] * _STRIP
    for place in range(at(score.low), at(score.high) + 1):
        cells[place] = "─"
    cells[at(score.value)] = "●"
    if whole is not None:
        cells[at(whole)] = "◆" if at(whole) != at(score.value) else "◈"
    return "[cyan]" + "".join(cells) + "[/]"


def _dip(result: Result, truth: Truth) -> str:
    wanted = (DIP_MONTH, f"{COUNTRY}/{DIP_REGION}")
    found = next(
        (
            s
            for s in result.scores["month and region"]
            if _month(s.group[0]) == wanted[0] and s.group[1] == wanted[1]
        ),
        None,
    )
    name = REGIONS[DIP_REGION][0]
    if found is None or truth.dip is None:
        return f"[dim]The model's bad month ({name}, {DIP_MONTH}) has no answers in a sample this small"
    return (
        f"The model's late deliveries ({name}, {DIP_MONTH}) are seen: "
        f"[bold]{found.value:.1f}[/]  \\[{found.low:.1f}, {found.high:.1f}]  n={found.n:,}; everybody: {truth.dip:.1f}"
    )


def _name(group: str) -> str:
    region = REGIONS.get(group.rpartition("/")[2])
    return f"{region[0]} {region[1]}" if region else _month(group)


def _month(group: str) -> str:
    return group[:7]


def _laws(result: Result) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for law in result.laws:
        mark = "[bold green]✓" if law.held else "[bold red]✗"
        table.add_row(mark, law.name, Text(law.numbers, style="dim" if law.held else "red"))
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
