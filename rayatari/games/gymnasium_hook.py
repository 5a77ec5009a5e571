"""Registers our Gymnasium environments whichever of gymnasium and rayatari is imported first.

Importing rayatari must not import gymnasium, which costs as much as everything else that the command line
needs; and Gymnasium has had no plugin entry points since 1.0. So the import of gymnasium is watched.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


def register_with_gymnasium() -> None:
    """Register the environments now if gymnasium is imported, else as soon as it is."""
    if "gymnasium" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _Watcher())


def _register() -> None:
    from rayatari.games.registration import register_environments

    register_environments()


class _Watcher(MetaPathFinder):
    """Finds gymnasium as it would be found without it, and has it loaded by ``_ThenRegister``."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegister(spec, spec.loader)
        return spec


class _ThenRegister(Loader):
    """Loads a module with its own loader, which it leaves in place, then registers the environments."""

    def __init__(self, spec: ModuleSpec, loader: Loader) -> None:
        self._spec = spec
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._spec.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register()
