"""One Parquet file of a dataset: rows of :mod:`rayatari.dataset.chunk` and a summary in its footer."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rayatari.dataset.chunk import DAMAGE_REMEDY, ROW_SCHEMA, SCHEMA_VERSION, check_row
from rayatari.dataset.info import ShardInfo
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError

ROWS_PER_GROUP = 64
"""Rows of a Parquet row group: about 8,000 transitions, one or two MiB."""
_SUMMARY_KEY = b"rayatari.summary"


@dataclass(frozen=True)
class Summary:
    """What the recorder knows of a shard, kept in the Parquet footer so that it outlives a crash."""

    schema_version: int
    """Version of the row format."""
    work: str
    """Fingerprint of the unit of work that the shard is the result of."""
    policy: str
    """Who played."""
    transitions: int
    """Own transitions of all rows."""
    episodes: int
    """Episodes, the last of which may be cut off."""
    palette: tuple[int, ...]
    """Palette bytes of all its frames, ascending."""
    reward_values: tuple[float, ...]
    """Distinct raw rewards, ascending."""
    max_lives: int
    """Most lives seen."""


def shard_bytes(rows: Sequence[dict[str, Any]], summary: Summary) -> bytes:
    """The Parquet file of ``rows``: uncompressed, because the blobs are compressed already."""
    metadata = {_SUMMARY_KEY: json.dumps(asdict(summary)).encode()}
    table = pa.Table.from_pylist(list(rows), ROW_SCHEMA.with_metadata(metadata))
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression="none",
        use_dictionary=["policy"],
        write_statistics=False,
        row_group_size=ROWS_PER_GROUP,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read_summary(storage: Storage, name: str) -> tuple[Summary, ShardInfo]:
    """Summary and description of a shard, taken from the file itself.

    Its rows are checked first, because ``meta/info.json`` with the checksum of the whole file may not be
    there yet. UserError when the file is truncated or damaged.
    """
    content = storage.read(name)
    file = storage.describe(name)
    parquet, summary = _open(content, file)
    for row in _rows(parquet, file):
        check_row(row, file)
    split = name.removesuffix(".parquet").rpartition("-")[2]
    return summary, ShardInfo(
        name, split, len(content), zlib.crc32(content), summary.transitions, summary.episodes
    )


def check_shard(storage: Storage, shard: ShardInfo) -> bytes:
    """The content of a shard, proved to be what was written.

    UserError that names the file when it is missing, truncated, or differs in any bit.
    """
    file = storage.describe(shard.name)
    try:
        content = storage.read(shard.name)
    except FileNotFoundError:
        raise UserError(f"{file} is missing: {DAMAGE_REMEDY}") from None
    if len(content) != shard.bytes:
        raise UserError(f"{file} is truncated ({len(content)} of {shard.bytes} bytes): {DAMAGE_REMEDY}")
    if zlib.crc32(content) != shard.crc32:
        raise UserError(f"{file} is damaged (its checksum differs): {DAMAGE_REMEDY}")
    return content


def read_rows(storage: Storage, shard: ShardInfo) -> Iterator[dict[str, Any]]:
    """Yield the rows of a checked shard in order, with at most one row group of them in memory."""
    file = storage.describe(shard.name)
    parquet, _ = _open(check_shard(storage, shard), file)
    yield from _rows(parquet, file)


def _rows(parquet: pq.ParquetFile, file: str) -> Iterator[dict[str, Any]]:
    try:
        for group in range(parquet.num_row_groups):
            yield from parquet.read_row_group(group).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _open(content: bytes, file: str) -> tuple[pq.ParquetFile, Summary]:
    """The Parquet reader of a file's content, and its summary; UserError when it is none of ours."""
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        values = json.loads((parquet.schema_arrow.metadata or {}).get(_SUMMARY_KEY, b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, error) from None
    if values.get("schema_version") != SCHEMA_VERSION or not parquet.schema_arrow.equals(ROW_SCHEMA):
        raise UserError(f"{file} is no shard of schema version {SCHEMA_VERSION}: {DAMAGE_REMEDY}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return parquet, Summary(**values)


def _damaged(file: str, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"{file} is damaged ({reason}): {DAMAGE_REMEDY}")
