"""Where a run keeps its artifacts, and how files get there without ever being half written."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from rayatari.config.schema import Config
from rayatari.errors import UserError

STAGES = ("agent", "dataset", "world", "mapper", "evaluation", "sweep")


SHIPPED = Path(__file__).parent / "pretrained"
"""Neural games that come with the package, a folder each; below ``agents``, policies that play them."""


def shipped_games() -> list[str]:
    """Names of the neural games that come with the package."""
    return sorted(card.parent.name for card in SHIPPED.glob("*/card.json"))


def shipped_agent(game: str) -> Path | None:
    """The policy that comes with the package for a game, if one does."""
    folder = SHIPPED / "agents" / game
    return folder if (folder / "card.json").is_file() else None


def run_dir(config: Config) -> Path:
    """``runs/<name>``: the folder of everything that one configuration makes."""
    return Path(config.runs) / (config.name or config.game)


def stage_dir(config: Config, stage: str) -> Path:
    """``runs/<name>/<stage>``: the folder of one stage's artifact."""
    assert stage in STAGES, stage
    return run_dir(config) / stage


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write ``path`` whole or not at all (temporary file beside it, fsync, rename)."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_atomic(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def read_json(path: Path, what: str, remedy: str) -> Any:
    """Read a JSON file; a missing or broken one is a UserError that names ``what`` and ``remedy``."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{what} not found at {path.parent}: {remedy}") from None
    except (ValueError, UnicodeDecodeError):
        raise UserError(f"{path} is damaged (not JSON): {remedy}") from None
