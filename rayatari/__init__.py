"""Playable neural games on a cluster.

Importing this package costs nothing: it loads no torch, no ray and no gymnasium. With gymnasium, be it
imported before or after, come the environments ``rayatari/<Game>-v0``.
"""

from rayatari.games.gymnasium_hook import register_with_gymnasium

__version__ = "0.1.0"

register_with_gymnasium()
