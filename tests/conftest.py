"""For all tests."""

import signal

import pytest

from rayatari.memory import keep_freed_memory

keep_freed_memory()  # a third of the time of tests that train is else spent on page faults

# In a background job a shell has SIGINT ignored, and programs started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of slow tests first, so that no worker is left with one of them at the end."""
    slow_files = {item.path for item in items if any(map(item.get_closest_marker, ("ray", "e2e", "slow")))}
    items.sort(key=lambda item: item.path not in slow_files)
