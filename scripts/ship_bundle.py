"""Make a trained bundle small enough to ship: half precision, few starts, no paths of the machine it is from.

    python scripts/ship_bundle.py runs/breakout/mapper rayatari/pretrained/breakout

A neural game or a policy; the card is kept, and says what was done to it.
"""

import argparse
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

from rayatari.checkpoint import CARD, WEIGHTS, Card, load_bundle, save_bundle
from rayatari.models.neural_game import START_FRAMES


def main() -> None:
    """Read one bundle, write another."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--starts", type=int, default=8, help="starts of games that are kept")
    options = parser.parse_args()
    kind = json.loads((options.source / CARD).read_text())["kind"]
    card, tensors = load_bundle(options.source, kind, "name the folder of a bundle")
    if START_FRAMES in tensors:
        tensors[START_FRAMES] = tensors[START_FRAMES][: options.starts].contiguous()
    small = {name: value.half() if value.is_floating_point() else value for name, value in tensors.items()}
    save_bundle(options.target, without_paths(card, str(options.source)), small)
    print(f"{options.target}: {(options.target / WEIGHTS).stat().st_size / 1e6:.1f} MB")


def without_paths(card: Card, source: str) -> Card:
    """The card with every path of the machine that trained it cut down to its last parts."""

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {key: strip(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [strip(entry) for entry in value]
        if isinstance(value, str) and value.startswith("/"):
            return "/".join(Path(value).parts[-2:])
        return value

    command = re.sub(r"(?<![\w.])/\S*?([^/\s]+/[^/\s]+)(?=\s|$)", r"\1", card.command)
    plain = strip(asdict(replace(card, command=command)))
    assert isinstance(plain, dict)
    return Card(**plain)


if __name__ == "__main__":
    main()
