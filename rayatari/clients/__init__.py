"""Clients: whoever plays through a window or a socket. They know games and the wire, never networks."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # before pygame is loaded, or it prints a greeting
