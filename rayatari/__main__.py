"""``python -m rayatari`` is the ``rayatari`` command."""

import sys

from rayatari.cli import main

if __name__ == "__main__":
    sys.exit(main())
