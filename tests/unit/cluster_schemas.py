"""Schemas of the files in cluster/, strict: what a schema does not name is refused."""

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from jsonschema import Draft202012Validator
from pydantic import BaseModel

CRDS = Path(__file__).parents[1] / "data" / "kuberay_crds.json.gz"


@cache
def kuberay_schemas() -> dict[str, dict[str, Any]]:
    """The KubeRay operator's own schemas by kind, strict."""
    schemas = json.loads(gzip.decompress(CRDS.read_bytes()))
    return {kind: _strict(schema, root=True) for kind, schema in schemas.items()}


def _strict(schema: Any, root: bool = False) -> Any:
    """The schema with unknown keys refused wherever it names some; the root's metadata is free."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    free = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in schema and not free and isinstance(schema["properties"], Mapping):
        strict["additionalProperties"] = False
    if root:
        strict["properties"]["metadata"] = {"type": "object"}
    return strict


def mistakes(schema: Mapping[str, Any], value: Any) -> list[str]:
    """What is wrong with ``value``, each with its path."""
    found = Draft202012Validator(schema).iter_errors(value)
    return sorted(f"{'.'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in found)


def unknown_keys(model: type[BaseModel], value: Mapping[str, Any]) -> list[str]:
    """Keys, with their paths, that a pydantic model does not name: Serve's own schema lets them pass."""
    found = []
    for key, inner in value.items():
        if key not in model.model_fields:
            found.append(key)
            continue
        models = list(_models(model.model_fields[key].annotation))
        for item in inner if isinstance(inner, list) else [inner]:
            if models and isinstance(item, Mapping):
                found += [f"{key}.{unknown}" for unknown in unknown_keys(models[0], item)]
    return found


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
