"""Small pieces of HTML: escaped text, tables, numbers with their interval and count."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING = "–"


def text(value: object) -> str:
    """Escaped text."""
    return html.escape(str(value))


def percent(value: float) -> str:
    """A share as percentage with two digits that tell, also close to 0 and to 100: 0.62 %, 99.97 %."""
    shown = 100 * value
    gap = min(abs(shown), abs(100 - shown))
    decimals = 0 if gap == 0 else 1 if gap >= 1 else min(4, 1 - math.floor(math.log10(gap)))
    return f"{shown:.{decimals}f} %"


def plain(value: float) -> str:
    """A number with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def estimate(found: Mapping[str, Any] | None, form: Any = percent, missing: str = NOTHING) -> str:
    """A measured number: its value, below it in small print interval (where it has a width) and count."""
    if found is None or not found["n"]:
        return f"<td>{NOTHING}</td>"
    value = missing if found["value"] is None else form(found["value"])
    low, high = found["low"], found["high"]
    told = low is not None and high is not None and low < high
    interval = f"<small>{text(form(low).split(' ')[0])} … {text(form(high))}</small>" if told else ""
    return f"<td><b>{text(value)}</b>{interval}<small>n {found['n']:,}</small></td>"


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table that scrolls sideways on a narrow screen; each row is a title and finished cells."""
    titles = "".join(f"<th scope=col>{text(title)}</th>" for title in head)
    body = "".join(f"<tr><th scope=row>{text(name)}</th>{''.join(cells)}</tr>" for name, cells in rows)
    return f"<div class=scroll><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"


def section(title: str, *parts: str) -> str:
    """A section of the page under its heading."""
    return f"<section><h2>{text(title)}</h2>{''.join(parts)}</section>"


def paragraph(words: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{text(words)}</p>"


def figure(content: str, caption: str) -> str:
    """A plot or picture with its caption."""
    return f"<figure>{content}<figcaption>{text(caption)}</figcaption></figure>"


def details(title: str, content: str) -> str:
    """A part of the page that is folded away."""
    return f"<details><summary>{text(title)}</summary>{content}</details>"


def duration(seconds: float) -> str:
    """Seconds as people say them: 48 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
