"""The page ``inside.html``: codes over time, what each does, and when the mapper knows them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate.codes import Codes, Effect, Known, perplexity
from rayatari.evaluate.html import details, estimate, figure, paragraph, percent, section, table, text
from rayatari.evaluate.open_loop import Rollout
from rayatari.evaluate.pictures import animated_gif, data_uri, png
from rayatari.evaluate.plots import new_figure, to_svg
from rayatari.evaluate.style import CSS
from rayatari.games.picture import INK, difference, indices
from rayatari.games.readers import Reading

_GIF_STEPS = 120
_MARGIN = 24
"""Pixels shown around a cell."""
_BOX = 3
"""Pixels between a thing and its mark."""
_SIZES = {"ball": (2, 4), "paddle": (16, 4)}
"""Width and height of things that a mark fits closely; others are taken to be 16 by 16."""
_EXAMPLES = 3
"""Places at which a code is shown."""


def render(title: str, codes: Codes, film: bytes | None) -> str:
    """The whole page; ``film`` is an animated GIF."""
    name = text(f"{title}: inside the neural game")
    body = [
        f"<h1>{name}</h1>",
        paragraph(
            "The neural game draws each frame from its past and a small grid of codes. An encoder that has "
            "seen the next frame names what happened in each cell; the mapper, which plays, has to guess the "
            "same from the past and the action. This page shows the codes at work on held-out play."
        ),
        "<p><a href=report.html>Back to the report</a></p>",
        _film(film),
        _timeline(codes),
        _usage(codes),
        _effects(codes),
        _known("What the mapper knows, by action", codes.by_action),
        _known("What the mapper knows, by event", codes.by_event),
    ]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{CSS}{_OWN_CSS}</style></head><body>{''.join(body)}</body></html>\n"
    )


_OWN_CSS = """
.effects { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; }
.effect { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .6rem .8rem; }
.effect h3 { margin: 0 0 .3rem; } .effect div { display: flex; gap: .3rem; margin-top: .3rem; }
.effect img { width: 30%; image-rendering: pixelated; }
"""


def marked_film(rollout: Rollout, milliseconds: int) -> bytes:
    """Real, neural and different pixels of a rollout as GIF, with a box around each moving thing."""
    real, neural = rollout.real_frames[:_GIF_STEPS], np.stack(rollout.frames[:_GIF_STEPS])
    columns = [indices(real), indices(neural), difference(neural, real)]
    if rollout.readings:
        for pictures, readings in zip(columns[:2], (rollout.real_readings, rollout.readings), strict=True):
            for picture, reading in zip(pictures, readings, strict=False):
                _mark(picture, reading)
    return animated_gif(columns, ("real", "neural", "difference"), milliseconds)


def _mark(picture: NDArray[np.uint8], reading: Reading) -> None:
    """Corners around each thing, in place."""
    height, width = picture.shape
    for kind, seen in reading.seen.items():
        across, down = _SIZES.get(kind, (16, 16))
        for x, y in seen.places:
            left, top = max(round(x) - _BOX, 0), max(round(y) - _BOX, 0)
            right = min(round(x) + across + _BOX, width - 1)
            bottom = min(round(y) + down + _BOX, height - 1)
            for row in (top, bottom):
                picture[row, left : left + 3] = picture[row, max(right - 2, 0) : right + 1] = INK
            for column in (left, right):
                picture[top : top + 3, column] = picture[max(bottom - 2, 0) : bottom + 1, column] = INK


def _film(film: bytes | None) -> str:
    if film is None:
        return ""
    gif = f'<img src="{data_uri("image/gif", film)}" alt="real, neural and difference, animated">'
    return section(
        "Film",
        figure(gif, "The same actions in both games; corners mark what the reader finds in each frame."),
    )


def _timeline(codes: Codes) -> str:
    used = np.argsort(-codes.used, kind="stable")
    rank = np.empty_like(used)
    rank[used] = np.arange(len(used))
    drawn, axes = new_figure(9.0, 5.2)
    drawn.clf()
    true_TN, chosen_TN = codes.timeline
    rows = (("encoder", rank[true_TN].T), ("mapper", rank[chosen_TN].T), ("differ", (true_TN != chosen_TN).T))
    places = drawn.subplots(3, 1, sharex=True)
    for axes, (name, values) in zip(places, rows, strict=True):
        shown = np.minimum(values, 20).astype(float)
        axes.imshow(
            shown, aspect="auto", cmap="Greys" if name == "differ" else "tab20b", interpolation="nearest"
        )
        axes.set_ylabel(f"{name}: cell")
    places[-1].set_xlabel("step")
    rows_, columns = codes.grid
    return section(
        "Codes by cell over time",
        figure(
            to_svg(drawn, "timeline"),
            f"One row a cell ({rows_} rows of {columns} cells of the screen, from the top left), one column "
            "a step of one episode; a colour is a code, by how often it is used (rarer than the 20th: one "
            "colour). Above what the encoder says happened, in the middle what the mapper guessed, below "
            "where they differ.",
        ),
    )


def _usage(codes: Codes) -> str:
    order = np.argsort(-codes.used, kind="stable")
    drawn, axes = new_figure()
    for uses, name in ((codes.used, "encoder"), (codes.chosen, "mapper")):
        shares = uses[order] / uses.sum()
        axes.semilogy(np.arange(1, len(shares) + 1), np.maximum(shares, 1e-6), label=name)
    axes.set_xlabel("code, the most used first")
    axes.set_ylabel("share of cells")
    axes.legend()
    rows = [
        (name, [f"<td>{int((u > 0).sum())} of {len(u)}</td>", f"<td>{perplexity(u):.1f}</td>",
                f"<td>{percent(float(u[codes.resting] / u.sum()))}</td>"])
        for name, u in (("encoder", codes.used), ("mapper", codes.chosen))
    ]  # fmt: skip
    return section(
        "Use of the codes",
        table(["", "codes in use", "perplexity", "share of the resting code"], rows),
        paragraph(
            "Perplexity is the effective number of codes. The resting code, the most used one, says that "
            "nothing happens in a cell."
        ),
        figure(to_svg(drawn, "usage"), "How often each code is used."),
    )


def _effects(codes: Codes) -> str:
    cards = "".join(_card(code, shown, codes) for code, shown in codes.effects.items())
    return section(
        "What each code does",
        paragraph(
            "The most used codes after the resting one, where the encoder gave them and they decide most. "
            "From left to right: the frame before, the next frame with the code, and the pixels that change "
            "when the resting code takes its place wherever it occurs. Where nothing changes, the past and "
            "the other codes said it already."
        ),
        f"<div class=effects>{cards}</div>",
    )


def _card(code: int, effects: Sequence[Effect], codes: Codes) -> str:
    share = percent(float(codes.used[code] / codes.used.sum()))
    rows = "".join(_example(effect, codes.grid, code) for effect in effects[:_EXAMPLES])
    pixels = np.array([effect.pixels for effect in effects])
    told = (
        f"{share} of all cells; decides pixels at {(pixels > 0).sum()} of {len(pixels)} places tried, "
        f"{pixels.mean():.1f} on average"
    )
    return f"<div class=effect><h3>Code {code}</h3><small>{told}</small>{rows}</div>"


def _example(effect: Effect, grid: tuple[int, int], code: int) -> str:
    window = _around(effect.cell, grid, effect.before.shape)
    shown = (
        indices(effect.before)[window], indices(effect.with_code)[window],
        difference(effect.without, effect.with_code)[window],
    )  # fmt: skip
    names = ("before", f"with code {code}", "changed by it")
    images = (
        f'<img src="{data_uri("image/png", png(picture))}" alt="{name}" loading=lazy>'
        for picture, name in zip(shown, names, strict=True)
    )
    return f"<div>{''.join(images)}</div>"


def _around(cell: int, grid: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The part of a frame around a cell."""
    slices = []
    for place, cells, size in zip(divmod(cell, grid[1]), grid, shape, strict=True):
        side = -(-size // cells)
        middle = min((place + 0.5) * side, size - side / 2)
        first = int(np.clip(middle - side / 2 - _MARGIN, 0, max(size - side - 2 * _MARGIN, 0)))
        slices.append(slice(first, first + side + 2 * _MARGIN))
    return slices[0], slices[1]


def _known(title: str, found: Mapping[str, Known]) -> str:
    head = [
        "",
        "cells right",
        "frames with all cells right",
        "changed pixels wrong",
        "told the encoder's codes",
    ]
    rows = [(name, [estimate(k.__dict__[part].__dict__) for part in _PARTS]) for name, k in found.items()]
    return section(
        title,
        table(head, rows),
        details("How to read this", paragraph(
            "Codes need not be right for the frame to be: the columns on pixels say what shows. The last one "
            "is what remains when the decoder is told what happened; the difference is what the mapper "
            "cannot know or has not learned. Where the ball is served is chance."
        )),
    )  # fmt: skip


_PARTS = ("cells", "frames", "changed_error", "changed_error_true")
