"""For all tests."""

import signal

# In a background job a shell has SIGINT ignored, and programs started from here would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
