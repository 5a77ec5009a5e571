"""Keep KubeRay's own schemas for the tests: ``python scripts/kuberay_schemas.py CRDS``.

CRDS is the folder ray-operator/config/crd/bases of a KubeRay release. Descriptions are left out, which
shrinks 3.4 MB to 29 kB.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import yaml

OUT = Path(__file__).parents[1] / "tests" / "data" / "kuberay_crds.json.gz"
VERSION = "v1"
KINDS = {"RayCluster", "RayJob", "RayService"}


def main(folder: Path) -> None:
    """Write the schemas of the kinds that cluster/ uses."""
    schemas = {}
    for path in sorted(folder.glob("*.yaml")):
        crd = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        kind = crd["spec"]["names"]["kind"]
        if kind in KINDS:
            version = next(v for v in crd["spec"]["versions"] if v["name"] == VERSION)
            schemas[kind] = without_descriptions(version["schema"]["openAPIV3Schema"])
    missing = KINDS - schemas.keys()
    if missing:
        sys.exit(f"{folder} has no {', '.join(sorted(missing))}: name KubeRay's config/crd/bases")
    text = json.dumps(schemas, separators=(",", ":"), sort_keys=True).encode()
    OUT.write_bytes(gzip.compress(text, 9, mtime=0))
    print(f"{OUT}: {', '.join(sorted(schemas))}, {OUT.stat().st_size:,} bytes")


def without_descriptions(schema: Any) -> Any:
    """The schema without its prose; a property that is called ``description`` stays."""
    if isinstance(schema, list):
        return [without_descriptions(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_descriptions(part)
        for key, part in schema.items()
        if key != "description" or not isinstance(part, str)
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
