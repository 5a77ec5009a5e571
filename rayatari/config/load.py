"""From files and ``key=value`` words to a validated :class:`Config`, or one clear line."""

import ast
import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from rayatari.config.schema import Config
from rayatari.errors import UserError

_ADAPTER = TypeAdapter(with_config(ConfigDict(extra="forbid", coerce_numbers_to_str=True))(Config))


def load_config(files: Iterable[str] = (), overrides: Iterable[str] = (), section: str = "") -> Config:
    """Merge YAML ``files`` in order, then ``key=value`` ``overrides``, and validate.

    A key without a dot is looked up in ``section`` (that of the command being run) first, then at
    the root: ``rayatari record steps=1000`` sets ``record.steps``. Where a section of the root has the
    name of such a key, a dot means the section: ``rayatari play agent=true agent.hidden=64``.
    """
    merged: dict[str, Any] = {}
    for file in files:
        merge(merged, _read_yaml(Path(file)))
    for word in overrides:
        merge(merged, _parse_override(word, section))
    config = validate(merged)
    return replace(config, runs=str(Path(config.runs).resolve()))  # workers have other working folders


def validate(values: Mapping[str, Any]) -> Config:
    """Build a Config from plain values; every mistake is named in one line."""
    try:
        return _ADAPTER.validate_python(dict(values))
    except ValidationError as error:
        raise UserError("; ".join(_explain(e) for e in error.errors())) from None


def describe_fields(section: str) -> Iterator[tuple[str, Any, str]]:
    """Yield ``(key, default, docstring)`` of each field of ``section`` (``""`` is the root)."""
    owner = getattr(Config(), section) if section else Config()
    docs = _field_docs(type(owner))
    for item in fields(owner):
        value = getattr(owner, item.name)
        if not (is_dataclass(value) and not section):
            yield item.name, value, docs.get(item.name, "")


def _field_docs(owner: type) -> dict[str, str]:
    """Docstrings under the fields of a dataclass, by field name."""
    body = ast.parse(inspect.getsource(owner)).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(doc))):
                docs[name] = inspect.cleandoc(doc)
    return docs


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"config file {path} not found: the shipped ones are in configs/") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"config file {path} cannot be read: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"config file {path} must hold 'key: value' lines")
    return values


def _parse_override(word: str, section: str) -> dict[str, Any]:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise UserError(f"'{word}' is not understood: settings are written key=value")
    names = {item.name for item in fields(getattr(Config(), section))} if section else set()
    path = key.split(".")
    if path[0] in names and not (len(path) > 1 and path[0] in _known_names([])):
        path = [section, *path]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    for part in reversed(path):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Lay ``values`` over ``into``, section by section."""
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _explain(error: Any) -> str:
    path = [str(part) for part in error["loc"]]
    name = ".".join(path)
    if error["type"] == "unexpected_keyword_argument":
        near = difflib.get_close_matches(path[-1], _known_names(path[:-1]), n=1)
        hint = f"did you mean '{near[0]}'?" if near else "'rayatari show-config' lists all keys"
        return f"unknown key '{name}': {hint}"
    return f"'{name}' is wrong: {error['msg']} (got {error['input']!r})"


def _known_names(path: Sequence[str]) -> list[str]:
    owner: Any = Config()
    for part in path:
        owner = getattr(owner, part, None)
    return [item.name for item in fields(owner)] if is_dataclass(owner) else []
