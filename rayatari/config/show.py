"""``rayatari show-config``: the resolved configuration as YAML that can be used as a config file."""

from dataclasses import asdict

import yaml

from rayatari.config.schema import Config


def run(config: Config) -> None:
    """Print ``config`` to standard output."""
    print(yaml.safe_dump(asdict(config), sort_keys=False), end="")
