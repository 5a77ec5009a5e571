"""Schemas of the files in cluster/, strict: what a schema does not name is refused."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

FIELDS = Path(__file__).parents[1] / "data" / "kuberay_fields.yaml"
_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "quantity": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    "quantities": {
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?(m|[kMGT]i?)?$"}, {"type": "integer"}]
        },
    },
}


def kuberay_schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a KubeRay object, from our list of fields."""
    return _schema(yaml.safe_load(FIELDS.read_text())["kinds"][kind])


def _schema(form: Any) -> dict[str, Any]:
    if isinstance(form, str):
        return _TYPES[form]
    if isinstance(form, list):
        return {"type": "array", "items": _schema(form[0])}
    return {
        "type": "object",
        "properties": {name.rstrip("!"): _schema(value) for name, value in form.items()},
        "required": [name.rstrip("!") for name in form if name.endswith("!")],
        "additionalProperties": False,
    }


def crd_schemas() -> dict[str, dict[str, Any]]:
    """The operator's own schemas by kind, strict, from the folder that KUBERAY_CRDS names."""
    found = {}
    for path in sorted(Path(os.environ.get("KUBERAY_CRDS") or "/nowhere").glob("*.y*ml")):
        crd = yaml.load(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        version = next(v for v in crd["spec"]["versions"] if v["name"] == "v1")
        found[crd["spec"]["names"]["kind"]] = _strict(version["schema"]["openAPIV3Schema"], True)
    return found


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


def leaves(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Path and type of every field of a schema."""
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from leaves(inner, (*path, name))
    elif schema.get("type") == "array":
        yield from leaves(schema["items"], (*path, "[]"))
    else:
        yield path, str(schema.get("type", "any"))


def at(schema: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any] | None:
    """The part of a schema at ``path``, or None where it has no such field."""
    for part in path:
        schema = schema.get("items", {}) if part == "[]" else schema.get("properties", {}).get(part)
        if schema is None:
            return None
    return schema


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
