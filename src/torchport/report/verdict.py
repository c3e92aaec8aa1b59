"""The verdict in words, with its four figures, and what those figures rest on."""

from __future__ import annotations

from statistics import median

from ..errors import plain
from ..figures import milliseconds, number, percent, signed_points, size
from ..stats import told_apart
from ..types import Candidate
from .data import ReportData
from .markup import Child, Html, el, join
from .phrases import Say


def winner_of(data: ReportData) -> Candidate | None:
    """The chosen candidate, None when nothing met the budget."""
    return next((c for c in data.choice.candidates if c.id == data.choice.chosen), None)


def verdict(data: ReportData, say: Say) -> Html:
    """The first thing a reader sees: who won, by how much, and whether the budget is shown to be kept."""
    winner = winner_of(data)
    met = data.choice.met
    return el(
        "header",
        el("p", say("report"), " \N{MIDDLE DOT} ", say("task", task=data.task), class_="quiet"),
        el("h1", data.title),
        el("p", _sentence(data, winner, say), class_="verdict"),
        el("p", plain(data.choice.why)),
        *(el("p", say("warning", text=one), class_="warn") for one in data.doubted),
        el(
            "p",
            el(
                "span",
                say("budget", budget=data.budget),
                " \N{MIDDLE DOT} ",
                el("b", say(f"met_{met}")),
                class_=f"chip met-{met.replace(' ', '-')}",
            ),
            " ",
            plain(data.choice.met_because),
        ),
        _nearest(data, say),
        _tiles(data, winner, say) if winner else None,
        _profiles(data, say),
    )


def rests(data: ReportData, say: Say) -> Html:
    """What the numbers rest on: how many items, how many calls, which machine, which guesses."""
    winner = winner_of(data)
    shown = winner or next((c for c in data.choice.candidates if c.accuracy), None)
    lines: list[Child] = []
    if shown and shown.accuracy:
        low, high = shown.accuracy.interval
        lines.append(
            say(
                "rests_accuracy",
                items=shown.accuracy.items,
                id=shown.id,
                low=signed_points(low),
                high=signed_points(high),
                loss=signed_points(max(-low, 0.0)).lstrip("+"),
            )
        )
        if not shown.accuracy.labelled:
            lines.append(say("rests_agreement", items=shown.accuracy.items))
    else:
        lines.append(say("rests_no_accuracy"))
    lines.append(_timing_line(data, winner or next((c for c in data.choice.candidates if c.latency_ms), None), say))
    if any(c.parity is not None and c.parity.made_up for c in data.choice.candidates):
        lines.append(say("rests_made_up"))
    lines.append(say("rests_assumed", names=", ".join(data.assumed)) if data.assumed else say("rests_stated"))
    if data.reference.measured == "at deploy":
        lines.append(say("rests_old_reference"))
    lines += [plain(one) for one in data.choice.warnings if one not in data.doubted]
    return el("section", el("h2", say("rests")), el("ul", *(el("li", line) for line in lines)))


def _sentence(data: ReportData, winner: Candidate | None, say: Say) -> Html:
    if winner is None:
        return el("strong", say("nothing"))
    parts = [say("wins", id=winner.id)]
    if winner.latency_ms and data.reference.latency_ms:
        times = data.reference.latency_ms / winner.latency_ms.median
        noise = max(winner.latency_ms.noise, data.reference.latency.noise if data.reference.latency else 0.0)
        apart = told_apart(winner.latency_ms.median, data.reference.latency_ms, noise)
        parts.append(
            say("alike")
            if not apart
            else say("faster", times=number(times))
            if times >= 1
            else say("slower", times=number(1 / times))
        )
    parts.append(size(winner.size_bytes))
    if winner.accuracy:
        parts.append(
            say(
                "accuracy_of",
                metric=winner.accuracy.metric,
                value=percent(winner.accuracy.value),
                items=winner.accuracy.items,
            )
        )
    if winner.parity is not None and winner.parity.ok:
        parts.append(say("parity_made_up" if winner.parity.made_up else "parity_held"))
    return join(
        [el("strong", parts[0]), *(f": {part}" if i == 0 else f", {part}" for i, part in enumerate(parts[1:])), "."]
    )


def _tiles(data: ReportData, winner: Candidate, say: Say) -> Html:
    eager = data.reference
    tiles = []
    if winner.latency_ms:
        under = say("tile_p90", p90=milliseconds(winner.latency_ms.p90), eager=milliseconds(eager.latency_ms))
        tiles.append((say("tile_latency"), milliseconds(winner.latency_ms.median), under))
    tiles.append(
        (
            say("tile_size"),
            size(winner.size_bytes),
            say("tile_download", download=size(winner.download_bytes), eager=size(eager.size_bytes)),
        )
    )
    if winner.accuracy:
        under = (
            say("tile_items", items=winner.accuracy.items)
            if eager.accuracy is None
            else say("tile_interval", eager=percent(eager.accuracy), items=winner.accuracy.items)
        )
        tiles.append((winner.accuracy.metric.capitalize(), percent(winner.accuracy.value), under))
    if winner.memory_bytes is not None:
        tiles.append((say("tile_memory"), size(winner.memory_bytes), say("tile_peak")))
    return el(
        "div",
        *(
            el("div", el("span", name), el("b", value), el("small", under), class_="tile")
            for name, value, under in tiles
        ),
        class_="tiles",
    )


def _nearest(data: ReportData, say: Say) -> Html | None:
    if not data.choice.nearest:
        return None
    lines = [el("li", el("b", axis), ": ", plain(sentence)) for axis, sentence in data.choice.nearest.items()]
    return join([el("h3", say("nearest")), el("ul", *lines)])


def _profiles(data: ReportData, say: Say) -> Html | None:
    if not data.choice.chosen_for:
        return None
    pairs = [join([profile, " ", el("b", name)]) for profile, name in data.choice.chosen_for.items()]
    return el("p", say("profiles"), ": ", join(pairs, " \N{MIDDLE DOT} "), class_="quiet")


def _timing_line(data: ReportData, shown: Candidate | None, say: Say) -> str:
    if shown is None or shown.latency_ms is None:
        return say("rests_no_latency")
    rounds = shown.latency_ms.rounds
    noises = [c.latency_ms.noise for c in data.choice.candidates if c.latency_ms]
    cpu = data.machine.get("cpu") or say("unknown")
    return say("rests_latency", calls=sum(map(len, rounds)), rounds=len(rounds), cpu=cpu, noise=percent(median(noises)))
