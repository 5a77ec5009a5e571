"""Progress on long work: a bar on a terminal, a line every ten seconds in a log."""

import sys
from typing import Any

from tqdm import tqdm


def progress(total: float, label: str, unit: str = "step", done: float = 0) -> "tqdm[Any]":
    """A tqdm progress bar on standard error that starts at ``done`` of ``total``."""
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        initial=done,
        desc=label,
        unit=unit,
        unit_scale=True,
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else 10.0,
        maxinterval=10.0,
        ascii=None if terminal else True,
    )
