"""Bundles (contract C4): a folder with ``card.json`` and ``weights.safetensors``, and nothing else
that loading needs. No pickle is ever read.

The card is written last, so a folder with a card is a finished artifact.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.paths import read_json, write_json

CARD = "card.json"
WEIGHTS = "weights.safetensors"
_PACKAGES = ("rayatari", "torch", "ray", "gymnasium", "ale-py", "numpy", "pyarrow")


@dataclass(frozen=True)
class Card:
    """What an artifact is, what made it, and from what."""

    kind: str
    """``policy``, ``dataset``, ``world``, ``neural-game`` or ``evaluation``."""
    game: str
    """Name of the game, as ``rayatari games`` lists it."""
    config: Mapping[str, Any]
    """The whole resolved configuration."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """What the loader needs to build the network: sizes, palette, action names, frame skip."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Final numbers of the stage."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Artifacts that this one was made from: role -> path."""
    seconds: float = 0.0
    """Wall-clock seconds that the stage took, interrupted parts included."""
    command: str = ""
    """The command line that made it."""
    created: str = ""
    """UTC time of completion, ISO 8601."""
    revision: str = ""
    """Git revision of the source tree, ``+dirty`` when it held uncommitted changes."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python and the packages that matter."""
    checksum: str = ""
    """SHA-256 of ``weights.safetensors``."""


def new_card(kind: str, config: Config, **fields: Any) -> Card:
    """A card stamped with this moment, this source tree and these package versions."""
    return Card(
        kind=kind,
        game=config.game,
        config=asdict(config),
        command=" ".join(["rayatari", *sys.argv[1:]]),
        created=_now(),
        revision=git_revision(),
        versions=package_versions(),
        **fields,
    )


def write_card(folder: Path, card: Card) -> None:
    """Write ``folder/card.json`` atomically: the last act of a stage."""
    write_json(folder / CARD, asdict(card))


def is_finished(folder: Path) -> bool:
    """Whether ``folder`` holds a finished artifact."""
    return (folder / CARD).is_file()


def finished_already(folder: Path, config: Config, kind: str, *sections: str) -> bool:
    """Whether ``folder`` holds the finished artifact of a stage, and says so.

    UserError when it was made with other settings: those of the stage's ``sections`` (dotted names), the
    game, or the emulator. Nothing is passed off as what it is not.
    """
    if not is_finished(folder):
        return False
    remedy = "remove it to make it again, or choose another name=NAME"
    made, asked = read_card(folder, kind, remedy).config, json.loads(json.dumps(asdict(config)))
    other = [
        key
        for name in ("game", "emulator", *sections)
        for key in _differences(_setting(made, name), _setting(asked, name), name)
    ]
    if other:
        raise UserError(f"{folder} is finished, with other settings ({', '.join(other)}): {remedy}")
    print(f"{kind}: finished, see {folder}")
    return True


def _setting(values: Any, name: str) -> Any:
    """What stands under a dotted name; None where there is nothing."""
    for key in name.split("."):
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _differences(made: Any, asked: Any, name: str) -> list[str]:
    """Dotted names of the settings in which two parts of a config differ."""
    if not (isinstance(made, dict) and isinstance(asked, dict)):
        return [] if made == asked else [name]
    keys = dict.fromkeys([*made, *asked])
    return [found for key in keys for found in _differences(made.get(key), asked.get(key), f"{name}.{key}")]


def read_card(folder: Path, kind: str, remedy: str) -> Card:
    """The card of the artifact in ``folder``; UserError when it is missing, broken or of another kind."""
    values = read_json(folder / CARD, f"{kind} artifact", remedy)
    try:
        card = Card(**values)
    except TypeError:
        raise UserError(f"{folder / CARD} is not a rayatari card: {remedy}") from None
    if card.kind != kind:
        raise UserError(f"{folder} holds a {card.kind} artifact where a {kind} one is needed: {remedy}")
    return card


def save_bundle(folder: Path, card: Card, tensors: Mapping[str, Any]) -> None:
    """Write weights (a mapping of names to contiguous torch tensors), then the card."""
    from safetensors.torch import save

    from rayatari.paths import write_atomic

    data = save(dict(tensors))
    write_atomic(folder / WEIGHTS, data)
    write_card(folder, replace(card, checksum=hashlib.sha256(data).hexdigest()))


def load_bundle(folder: Path, kind: str, remedy: str) -> tuple[Card, dict[str, Any]]:
    """Read ``(card, tensors)``; UserError when anything is missing, damaged or of another kind."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = read_card(folder, kind, remedy)
    try:
        data = (folder / WEIGHTS).read_bytes()
        tensors = load(data)
    except FileNotFoundError:
        raise UserError(f"{folder / WEIGHTS} not found: {remedy}") from None
    except SafetensorError as error:
        raise UserError(f"{folder / WEIGHTS} is damaged ({error}): {remedy}") from None
    if card.checksum and card.checksum != hashlib.sha256(data).hexdigest():
        raise UserError(f"{folder / WEIGHTS} is damaged (its checksum is not that of the card): {remedy}")
    return card, tensors


@cache
def package_versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def provenance() -> dict[str, Any]:
    """Where and when a result was made: machine, revision, versions, and this moment in UTC."""
    torch = sys.modules.get("torch")  # a result without it needs no GPU
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else "no GPU"
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {gpu}",
        "revision": git_revision(),
        "versions": package_versions(),
        "created": _now(),
    }


@cache
def git_revision() -> str:
    """Short git revision of the package's source tree, or ``unknown`` outside a checkout."""
    here = Path(__file__).parent
    try:
        shown = subprocess.run(
            ["git", "describe", "--always", "--dirty=+dirty", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return shown.stdout.strip()
