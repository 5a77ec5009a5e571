"""The neural game as a service on Ray Serve (docs/protocol.md)."""
