"""A match without a window, as fast as it goes."""

import time
from collections.abc import Callable

from rayatari.clients.match import Match

_POLL_SECONDS = 0.0005


def play_headless(match: Match, steps: int, between: Callable[[], None]) -> None:
    """Let the match's agent play ``steps`` steps, in as many episodes as they take.

    ``between`` is called whenever nothing is half done; it may raise to end the match.
    """
    match.begin()
    while match.total < steps:
        between()
        if match.over and match.started:
            match.begin()
        if match.ready_for_action(period=float("inf")):
            match.act(0)
        if not match.collect():
            time.sleep(_POLL_SECONDS)
