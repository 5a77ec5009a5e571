"""Block 3: does play obey the rules of its game? Real play, measured alike, gives the ceiling.

A rule looks at one :class:`Play` and counts how often it could have been broken and how often it held.
"""

from collections.abc import Callable, Mapping, Sequence

from rayatari.evaluate.play import Play
from rayatari.evaluate.rules.breakout import BREAKOUT_RULES
from rayatari.evaluate.rules.common import Counts
from rayatari.evaluate.rules.enduro import ENDURO_RULES
from rayatari.evaluate.rules.pong import PONG_RULES
from rayatari.evaluate.stats import Estimate, share

RULES: Mapping[str, Mapping[str, Callable[[Play, Sequence[str]], Counts]]] = {
    "breakout": BREAKOUT_RULES,
    "pong": PONG_RULES,
    "enduro": ENDURO_RULES,
}
"""Rules by game and name, in the order of the report."""


def rule_scores(game: str, plays: Sequence[Play], action_names: Sequence[str]) -> dict[str, Estimate]:
    """Each rule's share over all ``plays`` of ``game``; n counts the occasions to break it."""
    groups = [play.episode for play in plays]
    found = {name: [rule(play, action_names) for play in plays] for name, rule in RULES[game].items()}
    return {
        name: share([held for held, _ in counts], [occasions for _, occasions in counts], groups=groups)
        for name, counts in found.items()
    }
