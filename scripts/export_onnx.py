"""Write a neural game as one ONNX file: ``python scripts/export_onnx.py BUNDLE OUT.onnx``.

BUNDLE is the folder of a neural-game bundle, or the name of a shipped game. What goes in and out of the file
stands in ``rayatari/models/onnx_export.py``. Needs the extra ``onnx``.
"""

import sys
from pathlib import Path

from rayatari.errors import UserError
from rayatari.models.onnx_export import export_onnx
from rayatari.paths import SHIPPED


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    named, out = sys.argv[1], Path(sys.argv[2])
    folder = Path(named) if Path(named).exists() else SHIPPED / named
    try:
        about = export_onnx(folder, out)
    except UserError as error:
        print(f"export_onnx: {error}", file=sys.stderr)
        return 2
    print(f"{about['game']}: {out}, {out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
