"""The policies of different strength that a training run keeps, the best among them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from rayatari.agent.policy import KIND
from rayatari.checkpoint import is_finished, read_card

_REMEDY = "remove the folder and run 'rayatari train-agent' again"


@dataclass(frozen=True)
class Member:
    """One kept policy."""

    path: Path
    """Folder of its bundle."""
    step: int
    """Environment steps it was trained for."""
    score: float
    """Mean score of its evaluation, in points."""


class League:
    """Bundles ``folder/step-<step>``, at most ``size``; their cards say how strong they are."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size

    def path(self, step: int) -> Path:
        """Where the policy of ``step`` goes."""
        return self.folder / f"step-{step}"

    def members(self) -> list[Member]:
        """The kept policies by step."""
        found = []
        for path in self.folder.glob("step-*"):
            if is_finished(path):
                card = read_card(path, KIND, _REMEDY)
                found.append(Member(path, card.model["step"], card.metrics["mean"]))
        return sorted(found, key=lambda member: member.step)

    def best(self) -> Member:
        """The policy of the highest score, the latest of equal ones."""
        return max(self.members(), key=lambda member: (member.score, member.step))

    def prune(self) -> None:
        """Drop policies until ``size`` are left that spread over the range of scores."""
        members = self.members()
        while len(members) > self.size:
            dropped = most_redundant(members)
            shutil.rmtree(dropped.path)
            members.remove(dropped)


def most_redundant(members: list[Member]) -> Member:
    """The member whose neighbours in score are closest together; neither the best nor the worst.

    Of two members only the weaker can be meant.
    """
    ranked = sorted(members, key=lambda member: (member.score, member.step))
    if len(ranked) < 3:
        return ranked[0]
    inner = range(1, len(ranked) - 1)
    return ranked[min(inner, key=lambda i: ranked[i + 1].score - ranked[i - 1].score)]
