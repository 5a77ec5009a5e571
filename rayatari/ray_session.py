"""Connecting to Ray: the one place where a command starts or joins a cluster."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from rayatari.config.runtime import RayConfig
from rayatari.errors import UserError

_LOCAL_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_USE_DATASOURCE_V2": "0",  # 2.6 times slower on many small files, and 12 s to the first batch
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # ray.train.report() waits for one such poll
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def ray_session(config: RayConfig) -> Iterator[None]:
    """Have Ray initialised inside the block; what this call started, it shuts down.

    Nested uses share the outer session. Raises UserError when the cluster cannot be reached.
    """
    for name, value in _LOCAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    logging.getLogger("ray.data").setLevel(logging.WARNING)  # it tells of every file that it opens
    if ray.is_initialized():
        yield
        return
    _start(config)
    try:
        yield
    finally:
        ray.shutdown()


def joins_cluster(config: RayConfig) -> bool:
    """Whether a session joins a cluster that runs already, rather than starting a local node."""
    return bool(config.address or os.environ.get("RAY_ADDRESS"))


def _start(config: RayConfig) -> None:
    import ray

    address = config.address or os.environ.get("RAY_ADDRESS", "")
    if address:
        try:
            ray.init(address=address, logging_level="warning", log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"no Ray cluster answers at {address} ({reason}): start one with 'ray start --head', "
                "or leave ray.address and RAY_ADDRESS empty for a local node"
            ) from None
        return
    ray.init(
        address="local",
        num_cpus=config.num_cpus or os.cpu_count(),
        object_store_memory=config.object_store_mb * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        _temp_dir=tempfile.mkdtemp(prefix="ray-"),  # short: unix socket paths end at 107 characters
    )
