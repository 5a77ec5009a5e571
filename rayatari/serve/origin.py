"""Whose web pages may connect, and which addresses are this machine's own."""

import ipaddress
from urllib.parse import urlsplit

from rayatari.config.serve import ServeConfig

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def may_connect(origin: str | None, host: str, config: ServeConfig) -> bool:
    """Whether a handshake with these ``Origin`` and ``Host`` headers is let in.

    A page may connect to the server that it came from, or from one of ``config.origins``. Without a token
    the server's name has to be one of this machine: a page of elsewhere can have its own name point here.
    """
    if origin in config.origins:
        return True
    if not config.token and not is_loopback(urlsplit(f"//{host}").hostname or ""):
        return False
    if origin is None:
        return True
    page = urlsplit(origin)
    port = _PORTS.get(page.scheme, 0)
    return page.hostname is not None and host.lower() in (page.netloc, f"{page.netloc}:{port}")
