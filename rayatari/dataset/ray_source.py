"""A dataset as a Ray Data stream. Rows stay compressed on their way; the consumer decodes them."""

from collections.abc import Iterator, Mapping
from typing import Any

import ray.data

from rayatari.dataset.info import load_info
from rayatari.dataset.reader import verify_files
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError


def chunk_dataset(path: str, split: str, seed: int = 0) -> "ray.data.Dataset":
    """The physical rows (:mod:`rayatari.dataset.chunk`) of one split, read lazily by Ray Data.

    Only the files of the split are opened, in an order that ``seed`` shuffles anew in each pass (which of
    two blocks arrives first is still up to Ray). Each row also has ``path``, the file it came from, so that
    ``decode_chunk`` can name it. Local files are verified first; those on a remote file system are
    too many to be read twice, there the checksum of each row speaks when it is decoded.
    Raises UserError when there is no dataset, or none of that split, or a file is damaged.
    """
    storage = Storage(path)
    info = verify_files(path, split) if storage.local else load_info(storage)
    names = [storage.absolute(shard.name) for shard in info.shards if shard.split == split]
    if not names:
        raise UserError(f"the dataset at {path} has no {split} episodes: record with record.heldout above 0")
    ray.data.DataContext.get_current().use_datasource_v2 = False  # 12 s slower to the first of many files
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.data.read_parquet(
        names,
        filesystem=storage.filesystem,
        include_paths=True,
        shuffle=ray.data.FileShuffleConfig(seed=seed),
    )


def epoch_rows(shard: "ray.data.DataIterator") -> Iterator[Mapping[str, Any]]:
    """One pass over the rows of a Ray Train worker's shard (``ray.train.get_dataset_shard``)."""
    table: Any
    for table in shard.iter_batches(batch_size=16, batch_format="pyarrow", prefetch_batches=2):
        yield from table.to_pylist()
