"""Resumable checkpoints: a folder that is there whole or not at all, and is checked before it is read."""

import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayatari.errors import UserError
from rayatari.paths import read_json, write_json

_RECORD = "checkpoint.json"
_REMEDY = "remove the folder to start anew"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk."""

    path: Path
    """Folder with the files that ``save`` wrote."""
    step: int
    """Environment steps done."""
    record: Mapping[str, Any]
    """What was given to :func:`write_checkpoint`."""


def write_checkpoint(folder: Path, step: int, record: Mapping[str, Any], save: Callable[[Path], Any]) -> None:
    """Write ``folder/step-<step>`` by ``save(path)``, then drop older ones."""
    unfinished = folder / ".unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        save(unfinished)
        write_json(unfinished / _RECORD, {"step": step, "record": record, "files": _checksums(unfinished)})
        final = folder / f"step-{step}"
        shutil.rmtree(final, ignore_errors=True)
        unfinished.rename(final)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    for path in _all(folder):
        if path != final:
            shutil.rmtree(path)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The checkpoint of the most steps in ``folder``, None where there is none.

    UserError when a file of it is missing or is not what was written.
    """
    paths = _all(folder)
    if not paths:
        return None
    path = paths[-1]
    values = read_json(path / _RECORD, "checkpoint", _REMEDY)
    if values.get("files") != _checksums(path):
        raise UserError(f"the checkpoint {path} is damaged: {_REMEDY}")
    return Checkpoint(path, values["step"], values["record"])


def _all(folder: Path) -> list[Path]:
    """Finished checkpoints by step."""
    return sorted(folder.glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))


def _checksums(folder: Path) -> dict[str, list[int]]:
    """Size and CRC-32 of every file below ``folder`` but the record."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _RECORD)
    return {str(path.relative_to(folder)): [path.stat().st_size, _crc(path)] for path in files}


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc
