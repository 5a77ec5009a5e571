"""Configuration: frozen dataclasses, sparse YAML files and ``key=value`` overrides."""
