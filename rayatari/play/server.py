"""A server of one's own, for as long as one plays."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rayatari.config.schema import Config
from rayatari.serve.local import start_server


@contextmanager
def local_server(config: Config) -> Iterator[str]:
    """Address of a server that runs while the block does; UserError with its reason when it cannot start."""
    print(f"play: starting a server of {config.game} on this machine, a moment please …", file=sys.stderr)
    with start_server(config) as server:
        yield server.url
