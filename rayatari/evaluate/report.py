"""``report.html``: one page that holds everything, made from ``report.json`` and the pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from rayatari.evaluate import blocks, plots
from rayatari.evaluate.glossary import MEASURES, title
from rayatari.evaluate.html import (
    NOTHING,
    details,
    duration,
    estimate,
    figure,
    paragraph,
    percent,
    plain,
    section,
    table,
    text,
)  # fmt: skip
from rayatari.evaluate.stats import Estimate
from rayatari.evaluate.style import CSS

_WAYS = {
    "neural": "neural game",
    "true_codes": "decoder told the true codes",
    "common_codes": "decoder told the most common codes",
    "ancestor": "ancestor's design",
    "copy_last_frame": "copy last frame",
}
_COLORS = {
    "neural": plots.NEURAL,
    "copy_last_frame": plots.BASELINE,
    "common_codes": plots.COMMON,
    "ancestor": plots.ANCESTOR,
}
_HEADLINE_RULES = {
    "ball_whole": "frames with one whole ball",
    "paddle_obeys": "paddle goes where told",
    "odometer_runs": "odometer runs as it may",
}
_KINDS = {"ball": "ball", "paddle": "paddle", "opponent": "opponent", "car": "own car", "cars": "other cars"}
_SIDES = {"neural": "neural game", "real": "real game (ceiling)"}
_LOOPS = {
    "open_loop": "Open loop: recorded actions",
    "closed_loop": "Closed loop: players act on what they see",
}


@dataclass(frozen=True)
class Strip:
    """A few frames of one rollout, real, neural and their difference, as image URIs."""

    caption: str
    steps: Sequence[int]
    rows: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Pictures:
    """All pictures of the report."""

    strips: Sequence[Strip]
    open_loop_gif: str
    """Image URI."""
    closed_loop_gif: str
    """Image URI."""
    inside: bool = False
    """Whether the page on the codes, inside.html, lies beside."""


@dataclass(frozen=True)
class TrainingCurve:
    """One metric over the steps of one stage."""

    title: str
    points: Sequence[tuple[float, float]]


def render(results: Mapping[str, Any], pictures: Pictures, curves: Sequence[TrainingCurve]) -> str:
    """The whole page. ``results`` is the content of report.json."""
    body = [
        _head(results),
        blocks.targets(results["targets"]),
        _look(pictures),
        _one_step(results),
        _open_loop(results["open_loop"]),
        _rules(results),
        _closed_loop(results["closed_loop"], pictures),
        blocks.marathon(results["marathon"]),
        blocks.turing(results["turing"]),
        blocks.inside(results["inside"]),
        _held_out(results["held_out"]),
        _making(results, curves),
        _glossary(),
        _details(results),
    ]
    name = text(f"{results['title']}: neural game and real game")
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{CSS}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _head(results: Mapping[str, Any]) -> str:
    verdict = results["verdict"]
    error = verdict["changed_pixel_error"]
    beats, up_to = verdict["beats_copy_last_frame"], verdict["up_to"]
    judged = "good" if beats else "bad"
    words = "beats copying the last frame" if beats else "does not beat copying the last frame"
    shown = NOTHING if error["value"] is None else percent(error["value"])
    return (
        f"<h1>{text(results['title'])}, real and neural</h1>"
        f"<p class=verdict>The neural game <span class={judged}>{words}</span> in pixel error at every step "
        f"up to {up_to}, and gets <strong>{text(shown)}</strong> of the pixels that change in a step wrong "
        "(copying gets all of them wrong). Everything here is measured on play that training never saw.</p>"
        f"<div class=cards>{''.join(_cards(results))}</div>"
    )


def _cards(results: Mapping[str, Any]) -> list[str]:
    verdict, speed = results["verdict"], results["speed"]
    objects = results["open_loop"].get("objects", {"neural": {"at": {}}})["neural"]["at"]
    rules = results["rules"].get("closed_loop", {})
    cards = [
        (
            _value(verdict["changed_pixel_error"]),
            "one-step error on changed pixels",
            "copy last frame: 100 %",
        ),
        (
            f"{verdict['unbeaten_steps']} steps",
            "of pixel error below copy-last-frame, without a gap",
            f"asked for: {verdict['up_to']}",
        ),
    ]
    cards += [
        (
            _value(at[f"{kind}_recall"]),
            f"{_KINDS[kind]} recall over {step} steps",
            f"ghosts: {_value(at[f'{kind}_ghosts'])}",
        )
        for step, at in list(objects.items())[-2:]
        for kind in ("ball", "cars")
        if f"{kind}_recall" in at
    ]
    cards += [
        (_value(rules["neural"][rule]), f"{words}, closed loop", f"real game: {_value(rules['real'][rule])}")
        for rule, words in _HEADLINE_RULES.items()
        if rules and rule in rules["neural"]
    ]
    cards += [
        (f"{speed['frames_per_second']:.0f} / s", "neural frames", f"real time is {speed['needed']:.0f} / s"),
        (duration(sum(results["seconds"].values())), "from nothing to this page", "all stages of the run"),
    ]
    return [_card(*card) for card in cards]


def _card(value: str, words: str, small: str) -> str:
    return f"<div class=card><b>{text(value)}</b><span>{text(words)}</span><small>{text(small)}</small></div>"


def _value(found: Mapping[str, Any]) -> str:
    return NOTHING if found["value"] is None else percent(found["value"])


def _look(pictures: Pictures) -> str:
    strips = "".join(_strip(strip) for strip in pictures.strips)
    gif = f'<img src="{pictures.open_loop_gif}" alt="real, neural and difference, animated">'
    return section(
        "Look",
        figure(
            gif,
            "The same recorded actions in the real game (left) and in the neural one (middle), which sees "
            "only its own frames. Right: every wrong pixel in magenta.",
        ),
        strips,
        "<p class=note>Starts are chosen by their place in the episodes, not by their looks.</p>",
        "<p><a href=inside.html>Its codes, and what each of them does</a></p>" if pictures.inside else "",
    )


def _strip(strip: Strip) -> str:
    head = "<th></th>" + "".join(f"<th scope=col>step {step}</th>" for step in strip.steps)
    rows = "".join(
        f"<tr><th scope=row>{text(name)}</th>"
        + "".join(f'<td><img src="{uri}" alt="{text(name)}, step {step}" loading=lazy></td>' for uri, step in
                  zip(uris, strip.steps, strict=True))
        + "</tr>"
        for name, uris in strip.rows.items()
    )  # fmt: skip
    return (
        f"<h3>{text(strip.caption)}</h3><div class=scroll><table class=strip><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _one_step(results: Mapping[str, Any]) -> str:
    pixels, mapper = results["one_step"]["pixels"], results["one_step"]["mapper"]
    measures = {
        "changed_pixel_error": percent,
        "frames_right": percent,
        "wrong_pixels": percent,
        "psnr_db": plain,
        "ssim": _ssim,
    }
    rows = [
        (words, [estimate(pixels[way][measure], form) for measure, form in measures.items()])
        for way, words in _WAYS.items()
        if way in pixels
    ]
    parts = [
        paragraph("One step from real frames."),
        table(["", *map(title, measures)], rows),
    ]
    if mapper:
        parts += _mapper(mapper)
    return section("One step", *parts)


def _ssim(value: float) -> str:
    return f"{value:.4f}"


def _mapper(mapper: Mapping[str, Any]) -> list[str]:
    rows = [
        (title("cells"), [estimate(mapper["cells"]), estimate(mapper["cells_common"])]),
        (title("frames"), [estimate(mapper["frames"]), estimate(mapper["frames_common"])]),
        (title("lift"), [estimate(mapper["lift"], _points), f"<td>{NOTHING}</td>"]),
    ]
    rows += [
        (f"codes right, {action}", [estimate(found), estimate(mapper["by_action_common"][action])])
        for action, found in mapper["by_action"].items()
    ]
    return [
        "<h3>The mapper: which codes follow from past and action</h3>",
        table(["", "mapper", "most common code"], rows),
    ]


def _points(value: float) -> str:
    return f"{100 * value:+.1f} points"


def _open_loop(found: Mapping[str, Any]) -> str:
    ways = [way for way in _WAYS if way in found["pixel_error"]]
    curves = [
        plots.Curve(_WAYS[way], _COLORS[way], range(1, len(found["pixel_error"][way]["curve"]) + 1),
                    [Estimate(**point) for point in found["pixel_error"][way]["curve"]])
        for way in ways
    ]  # fmt: skip
    horizons = list(found["pixel_error"]["neural"]["at"])
    rows = [
        (
            f"{title('pixel_error')}: {_WAYS[way]}",
            [estimate(found["pixel_error"][way]["at"].get(h)) for h in horizons],
        )
        for way in ways
    ]
    head = ["", *(f"step {h}" for h in horizons)]
    parts = [
        paragraph(
            "Recorded actions from real first frames on; afterwards the neural game sees only what it drew "
            "itself. Steps after the end of the real episode are left out."
        ),
        figure(
            plots.horizon_plot(curves, "wrong pixels, %", "open-loop"),
            "Wrong pixels by step, with 95 % intervals.",
        ),
        table(head, rows),
    ]
    for kind, words in _KINDS.items():
        if f"{kind}_recall" in next(
            iter(found.get("objects", {}).get("neural", {}).get("at", {}).values()), {}
        ):
            parts += [f"<h3>{text(words.capitalize())}</h3>", *_object_tables(found["objects"], kind, head)]
    return section("Open loop", *parts)


def _object_tables(objects: Mapping[str, Any], kind: str, head: Sequence[str]) -> list[str]:
    """Recall, ghosts, error and divergence of one kind of thing, by way to predict."""
    ways = [way for way in _WAYS if way in objects]
    horizons = [words.removeprefix("step ") for words in head[1:]]
    rows = [
        (
            f"{title(measure)}: {_WAYS[way]}",
            [
                estimate(objects[way]["at"].get(h, {}).get(f"{kind}_{measure}"), form, "missing")
                for h in horizons
            ],
        )
        for measure, form in {"recall": percent, "ghosts": percent, "error_px": _pixels}.items()
        for way in ways
    ]
    last = f"beyond {horizons[-1]}"
    parted = [(_WAYS[way], [estimate(objects[way]["divergence"][kind], plain, last)]) for way in ways]
    return [table(head, rows), table([title("divergence"), "median step"], parted)]


def _pixels(value: float) -> str:
    return f"{value:.1f} px"


def _rules(results: Mapping[str, Any]) -> str:
    if not results["rules"]:
        return section("Rules", paragraph("There is no reader for this game yet that could judge its rules."))
    parts = [
        paragraph(
            "The same reader judges both games, so the real game's number is the ceiling of the neural one's."
        )
    ]
    for loop, sides in results["rules"].items():
        rows = [(title(r), [estimate(sides[s][r]) for s in _SIDES]) for r in sides["neural"]]
        parts += [f"<h3>{text(_LOOPS[loop])}</h3>", table(["", *_SIDES.values()], rows)]
    return section("Rules", *parts)


def _closed_loop(sides: Mapping[str, Any], pictures: Pictures) -> str:
    measures = {"score": plain, "steps": plain, "game_over": percent}
    rows = [(title(m), [estimate(sides[s][m], form) for s in _SIDES]) for m, form in measures.items()]
    gif = (
        f'<img class=narrow src="{pictures.closed_loop_gif}" alt="a player in the real and the neural game">'
    )
    plot = plots.score_plot(sides["real"]["scores"], sides["neural"]["scores"], "scores")
    return section(
        "Closed loop",
        paragraph(
            "Each player plays the real game and, from the same opening frames on, the neural one. The two "
            "games soon part, for chance and for every small difference in what the player sees."
        ),
        figure(gif, "The same player from the same opening: real (left), neural (right)."),
        table(["", *_SIDES.values()], rows),
        figure(plot, "Points of each game."),
    )


def _held_out(players: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    rows = [
        (
            player,
            [
                f"<td>{len(episodes)}</td>",
                f"<td>{sum(e['steps'] for e in episodes):,}</td>",
                f"<td>{plain(sum(e['points'] for e in episodes) / len(episodes))}</td>",
                f"<td>{sum(e['game_over'] for e in episodes)}</td>",
            ],
        )
        for player, episodes in players.items()
    ]
    return section(
        "Held-out play",
        paragraph(
            "The real episodes that everything is measured on. Their emulator seeds are kept for evaluation."
        ),
        table(["player", "episodes", "steps", "points an episode", "played to the end"], rows),
    )


def _making(results: Mapping[str, Any], curves: Sequence[TrainingCurve]) -> str:
    rows = [(stage, [f"<td>{text(duration(seconds))}</td>"]) for stage, seconds in results["seconds"].items()]
    rows.append(("total", [f"<td><b>{text(duration(sum(results['seconds'].values())))}</b></td>"]))
    drawn = [
        figure(plots.training_plot(curve.points, curve.title, f"training-{number}"), "")
        for number, curve in enumerate(curves)
    ]
    return section(
        "How it was made", table(["stage", "time"], rows), f"<div class=plots>{''.join(drawn)}</div>"
    )


def _glossary() -> str:
    entries = "".join(f"<dt>{text(name)}</dt><dd>{text(words)}</dd>" for name, words in MEASURES.values())
    return section("What the numbers mean", f"<dl>{entries}</dl>")


def _details(results: Mapping[str, Any]) -> str:
    facts = {
        key: results[key]
        for key in ("command", "created", "revision", "versions", "inputs", "held_out", "speed")
    }
    return section(
        "Details",
        details("Machine-readable facts", f"<pre>{text(yaml.safe_dump(facts, sort_keys=False))}</pre>"),
        details("Configuration", f"<pre>{text(yaml.safe_dump(results['config'], sort_keys=False))}</pre>"),
    )
