"""Hold the readers against the console's memory on real play, and write ``results/readers.json``.

    python scripts/check_readers.py [--frames 20000] [--every 3] [--games breakout pong enduro]

Frames are emulator frames (frame skip 1), every third one, of the players in
``rayatari/evaluate/reader_check.py``; what is compared with what is in ``rayatari/games/memory.py``.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from rayatari.checkpoint import provenance
from rayatari.evaluate.reader_check import HOLD, check_reader, players_of
from rayatari.games.catalog import get_game
from rayatari.games.memory import CHECKS
from rayatari.paths import write_json
from rayatari.progress import progress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, help="frames read of each game")
    parser.add_argument("--every", type=int, default=3, help="emulator frames from one to the next")
    parser.add_argument("--games", nargs="+", default=list(CHECKS), choices=list(CHECKS))
    parser.add_argument("--out", type=Path, default=Path("results/readers.json"))
    arguments = parser.parse_args()
    command = f"python scripts/check_readers.py --frames {arguments.frames} --every {arguments.every}"
    results = {
        "command": command,
        **provenance(),
        "games": {game: _check(game, arguments.frames, arguments.every) for game in arguments.games},
    }
    write_json(arguments.out, results)


def _check(game: str, frames: int, every: int) -> dict[str, object]:
    with progress(frames, f"reading {game}", "frame") as bar:
        found = check_reader(get_game(game), frames, every, advance=bar.update)
    shares = {name: round(share, 6) for name, share in found.shares().items()}
    print(f"{game}: {found.frames} frames, {shares}")
    players = [
        {**asdict(entry), "player": entry.player.rpartition("pretrained/")[2]} for entry in players_of(game)
    ]
    return {
        "frames": found.frames,
        "agreement": shares,
        "first_disagreement": {
            name: {"seed": seed, "emulator_frame": at} for name, (seed, at) in found.first_wrong.items()
        },
        "players": players,
        "action_held": HOLD,
    }


if __name__ == "__main__":
    main()
