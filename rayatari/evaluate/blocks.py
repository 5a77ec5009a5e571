"""Sections of the report for the aims, the long games, the Turing test, and learning inside."""

from collections.abc import Mapping, Sequence
from typing import Any

from rayatari.evaluate import plots
from rayatari.evaluate.glossary import title
from rayatari.evaluate.html import (
    NOTHING,
    estimate,
    figure,
    paragraph,
    percent,
    plain,
    section,
    table,
    text,
)

_SIDES = {"neural": "neural game", "real": "real game (ceiling)"}
_FORMS = {
    "share": percent,
    "px": lambda value: f"{value:.1f} px",
    "points": lambda value: f"{value:+.2f} points",
    "times": plain,
}


def targets(found: Sequence[Mapping[str, Any]]) -> str:
    """The aims beside what was measured; nothing for games without any."""
    if not found:
        return ""
    words = {
        True: "<span class=good>met</span>",
        False: "<span class=bad>not met</span>",
        None: "not measured",
    }
    rows = [
        (
            row["words"],
            [
                f"<td>{text(row['aim'])}</td>",
                estimate(row["found"], _FORMS[row["unit"]], "beyond measure"),
                f"<td>{words[row['met']]}</td>",
            ],
        )
        for row in found
    ]
    return section(
        "Aims", paragraph("What this project asks of a faithful game."), table(["", "aim", "found", ""], rows)
    )


def marathon(found: Mapping[str, Any]) -> str:
    """Block 4; nothing where it was left out."""
    if not found:
        return ""
    sides = {side: found[side] for side in _SIDES}
    measures = {
        "first_score": plain, "first_steps": plain, "game_over": percent, "sane": percent,
        "first_insanity": plain,
    }  # fmt: skip
    rows = [
        (title(m), [estimate(sides[s][m], form, "beyond") for s in _SIDES]) for m, form in measures.items()
    ]
    rows += [
        (title(rule), [estimate(sides[s]["rules"].get(rule)) for s in _SIDES])
        for rule in sides["neural"]["rules"]
    ]
    rows.append(("what went wrong first", [_reasons(sides[s]["reasons"]) for s in _SIDES]))
    rows.append(
        (
            "steps and finished games",
            [f"<td>{sides[s]['steps']:,}<small>{sides[s]['episodes']} games</small></td>" for s in _SIDES],
        )
    )
    compared = [
        (title("score_ratio"), [estimate(found["score_ratio"], plain)]),
        (title("score_difference"), [estimate(found["score_difference"], plain)]),
    ]
    scores = [{"agent": sides[side]["scores"]} for side in ("real", "neural")]
    return section(
        "Long games",
        paragraph(
            "A trained agent plays many games side by side, neural and real, each for the same number of "
            "steps; a game that is over begins anew. It sees both through the same function."
        ),
        table(["", *_SIDES.values()], rows),
        table(["", "neural against real"], compared),
        figure(plots.score_plot(scores[0], scores[1], "long-scores"), "Points of the first games."),
    )


def turing(found: Mapping[str, Any]) -> str:
    """Block 5; nothing where it was left out."""
    if not found:
        return ""
    rows = [
        (f"{title('accuracy')}: neural against real", [estimate(found["accuracy"])]),
        (f"{title('control')}: real against real", [estimate(found["control"])]),
    ]
    return section(
        "Real or neural?",
        paragraph("A small classifier, trained for the purpose, looks at clips of 16 frames."),
        table(["", "right"], rows),
    )


def inside(found: Mapping[str, Any]) -> str:
    """Block 6; nothing where it was left out."""
    if not found:
        return ""
    neural = NOTHING if found["neural_score"] is None else plain(found["neural_score"])
    rows = [
        ("agent that learned inside, real game", [estimate(found["agent"], plain)]),
        ("the same network untrained, real game", [estimate(found["untrained"], plain)]),
        ("its last training episodes, neural game", [f"<td>{text(neural)}</td>"]),
        ("steps it learned from", [f"<td>{found['steps']:,}</td>"]),
    ]
    return section(
        title("inside"),
        paragraph("An agent that has never seen the real game plays it."),
        table(["", "points a game"], rows),
    )


def _reasons(reasons: Mapping[str, int]) -> str:
    shown = ", ".join(f"{text(reason)} {count}" for reason, count in reasons.items())
    return f"<td>{shown or NOTHING}</td>"
