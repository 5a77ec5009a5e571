"""One Parquet row: lossless both ways, and no flipped bit goes unnoticed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayatari.dataset.chunk import ROW_SCHEMA, Chunk, decode_chunk, encode_chunk
from rayatari.errors import UserError


def some_chunk(length: int = 3, context: int = 2, seed: int = 0) -> Chunk:
    random = np.random.default_rng(seed)
    steps = context + length
    return Chunk(
        episode=int(random.integers(2**40)),
        start_step=int(random.integers(context, 2**20)),
        context=context,
        seed=int(random.integers(10**6)),
        policy="somebody ε=0.1",
        frames=random.integers(256, size=(steps + 1, 210, 160), dtype=np.uint8),
        actions=random.integers(18, size=steps, dtype=np.uint8),
        rewards=random.normal(size=steps).astype(np.float32),
        terminated=random.random(steps) < 0.5,
        truncated=random.random(steps) < 0.5,
        lives=random.integers(256, size=steps + 1, dtype=np.uint8),
    )


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 9), context=st.integers(0, 5), seed=st.integers(0, 99))
def test_a_chunk_survives_encoding_bit_by_bit(length: int, context: int, seed: int) -> None:
    chunk = some_chunk(length, context, seed)
    again = decode_chunk(encode_chunk(chunk))
    for name, value in vars(chunk).items():
        np.testing.assert_array_equal(getattr(again, name), value)
        if isinstance(value, np.ndarray):
            assert getattr(again, name).dtype == value.dtype
    assert again.length == length


@pytest.mark.parametrize("column", ROW_SCHEMA.names)
def test_a_change_in_any_column_is_noticed(column: str) -> None:
    row = encode_chunk(some_chunk())
    value = row[column]
    if isinstance(value, bytes):
        changed = bytearray(value)
        changed[len(value) // 2] ^= 16
        row[column] = bytes(changed)
    else:
        row[column] = value + ("x" if isinstance(value, str) else 1)
    with pytest.raises(UserError, match=r"some/file\.parquet is damaged .* restore the file"):
        decode_chunk(row, "some/file.parquet")


def test_rows_fit_the_schema_and_name_its_columns_only() -> None:
    assert list(encode_chunk(some_chunk())) == ROW_SCHEMA.names
