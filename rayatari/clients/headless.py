"""A match without a window, as fast as it goes."""

import time

from rayatari.clients.match import Match

_POLL_SECONDS = 0.0005


def play_headless(match: Match, steps: int) -> None:
    """Let the match's agent play ``steps`` steps, in as many episodes as they take."""
    match.begin()
    while match.total < steps:
        if match.over and match.started:
            match.begin()
        if match.ready_for_action(period=float("inf")):
            match.act(0)
        if not match.collect():
            time.sleep(_POLL_SECONDS)
