"""Playable neural games on a cluster.

Importing this package costs nothing: it loads no torch, no ray and no gymnasium. The Gymnasium
environments ``rayatari/<Game>-v0`` are registered by the ``gymnasium.envs`` entry point that
pyproject.toml declares, or right here when gymnasium is in use already.
"""

import sys

__version__ = "0.1.0"

if "gymnasium" in sys.modules:
    from rayatari.games.registration import register_environments

    register_environments()
