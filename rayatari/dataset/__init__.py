"""Recorded play: Parquet shards of compressed episode chunks, written on Ray and read with or without it.

The format is described in :mod:`rayatari.dataset.chunk` (one Parquet row) and
:mod:`rayatari.dataset.info` (``meta/info.json``).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayatari.dataset.reader import Transition


def open(path: str) -> "Iterator[Transition]":
    """Yield every transition of the dataset at ``path``, a folder or any pyarrow file system URI.

    Episodes come in ascending order of their ids and their steps in order; nothing here needs Ray.
    Raises UserError at once when there is no dataset at ``path`` or its schema version is another,
    and while reading when a file is missing, truncated or damaged.
    """
    from rayatari.dataset.reader import read_transitions

    return read_transitions(path)
