"""The vault of snapshots as a Ray actor, and its use by a replica."""

from typing import Any, cast

import ray

from rayatari.serve.vault import Vault

_NAMESPACE = "rayatari"


class RayStore:
    """The vault of an application, as one of its replicas uses it."""

    def __init__(self, application: str, owner: str, keep_s: float) -> None:
        self._owner = owner
        self._vault: Any = (
            ray.remote(Vault)
            .options(
                name=vault_name(application), namespace=_NAMESPACE, get_if_exists=True,
                lifetime="detached", num_cpus=0, max_restarts=-1, max_task_retries=1,
            )
            .remote(keep_s)
        )  # fmt: skip

    async def keep(self, snapshots: dict[str, bytes]) -> list[str]:
        """Keep these; returns the tokens of sessions that another replica has taken over."""
        return cast(list[str], await self._vault.keep.remote(self._owner, snapshots))

    async def claim(self, token: str) -> bytes | None:
        """The snapshot of a session, which belongs to this replica from now on."""
        return cast(bytes | None, await self._vault.claim.remote(self._owner, token))

    async def forget(self, token: str) -> None:
        """Drop it."""
        await self._vault.forget.remote(token)


def vault_name(application: str) -> str:
    """Name of an application's vault actor."""
    return f"rayatari-sessions-{application}"


def remove_vault(application: str) -> None:
    """End the vault of an application that is gone."""
    try:
        ray.kill(ray.get_actor(vault_name(application), namespace=_NAMESPACE))
    except ValueError:
        return  # it never was
