"""One Ray node for all tests of this folder."""

from collections.abc import Iterator

import pytest

from rayatari.config.runtime import RayConfig
from rayatari.ray_session import ray_session


@pytest.fixture(scope="session", autouse=True)
def ray_node() -> Iterator[None]:
    with ray_session(RayConfig(num_cpus=2, object_store_mb=150)):
        yield
