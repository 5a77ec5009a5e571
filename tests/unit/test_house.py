"""The house stands as designed: layers one way, no circles, no long files, nothing loaded early."""

import ast
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rayatari

PACKAGE = Path(rayatari.__file__).parent
ROOT = PACKAGE.parent
FLOW = (
    "config",
    "games",
    "agent",
    "dataset",
    "models",
    "training",
    "evaluate",
    "serve",
    "sweep",
    "clients",
    "play",
)
FOUNDATION = {"errors": 0, "__init__": 0, "config": 0}
RAY_EDGES = {
    "rayatari.ray_session",
    "rayatari.jobs",
    "rayatari.sweep.search",
    "rayatari.dataset.crew",
    "rayatari.dataset.ray_source",
    "rayatari.serve.app",
    "rayatari.serve.run",
    "rayatari.serve.sockets",
    "rayatari.serve.store",
    "rayatari.training.ray_backend",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def imports_of(path: Path) -> set[str]:
    """Full names of all modules that the code imports anywhere, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {i for i in imports_of(path) if i in known} - {name} for name, path in known.items()}


def rank(module: str) -> int:
    """Position in the one-way flow: foundation, then the stages in order, then whatever runs them."""
    parts = module.split(".")
    if len(parts) == 1:
        return 0
    if parts[1] in FLOW:
        return FLOW.index(parts[1])
    return len(FLOW) if parts[1] in ("pipeline", "cli", "jobs", "__main__") else 0


def top_level(imports: set[str]) -> set[str]:
    return {name.split(".")[0] for name in imports}


def test_imports_follow_the_flow_of_data() -> None:
    wrong = [
        f"{module} -> {imported}"
        for module, imports in graph().items()
        for imported in imports
        if rank(imported) > rank(module) and module != "rayatari"
    ]
    assert not wrong


def test_no_import_circles() -> None:
    TopologicalSorter(graph()).prepare()  # raises CycleError


def test_ray_is_imported_only_at_the_edges() -> None:
    users = {m for m, path in modules().items() if "ray" in top_level(imports_of(path))}
    assert {m for m in users if not m.startswith("rayatari.agent.rllib")} <= RAY_EDGES


@pytest.mark.parametrize(
    ("layer", "forbidden"),
    [
        ("config", {"torch", "ray", "gymnasium", "pygame", "ale_py", "pyarrow"}),
        ("games", {"torch", "ray", "pygame"}),
        ("models", {"ray", "pygame", "fastapi", "ale_py"}),
        ("training", {"pygame", "fastapi", "ale_py"}),
        ("evaluate", {"ray", "pygame", "fastapi"}),
        ("sweep", {"pygame", "fastapi", "ale_py"}),
        ("agent", {"pygame", "fastapi"}),
        ("dataset", {"pygame", "fastapi", "torch"}),
        ("clients", {"ray", "torch", "fastapi", "pyarrow", "PIL"}),
        ("play", {"ray", "pygame", "fastapi"}),
        ("protocol", {"torch", "ray", "gymnasium", "pygame", "fastapi", "pydantic", "websockets"}),
        ("serve", {"pygame", "ale_py", "pyarrow"}),
    ],
)
def test_layers_keep_to_their_libraries(layer: str, forbidden: set[str]) -> None:
    used = {
        f"{module}: {library}"
        for module, path in modules().items()
        if module.startswith(f"rayatari.{layer}")
        for library in top_level(imports_of(path)) & forbidden
    }
    assert not used


@pytest.mark.parametrize(
    ("module", "unloaded"),
    [
        ("rayatari", "torch ray gymnasium numpy"),
        ("rayatari.cli", "torch ray gymnasium ale_py pyarrow"),
        ("rayatari.games.specs", "torch ray gymnasium ale_py"),
        ("rayatari.games.emulator", "torch ray"),
        ("rayatari.models.neural_env", "ray"),
        ("rayatari.training.local_backend", "ray"),
        ("rayatari.evaluate.run", "ray"),
        ("rayatari.agent.train", "ray"),
        ("rayatari.agent.local.algorithm", "ray"),
        ("rayatari.dataset.record", "ray torch"),
        ("rayatari.dataset.local_crew", "ray torch"),
        ("rayatari.pipeline", "ray"),
        ("rayatari.clients.app", "torch ray"),
        ("rayatari.clients.remote", "torch ray gymnasium pygame"),
        ("rayatari.play.run", "torch ray pygame"),
        ("rayatari.sweep.run", "ray"),
        ("rayatari.protocol", "torch ray gymnasium pydantic"),
        ("rayatari.serve.hub", "ray fastapi pygame"),
        ("rayatari.serve.local", "torch ray numpy"),
        ("rayatari.serve.run", "torch ray"),
    ],
)
def test_importing_loads_nothing_that_is_not_needed(module: str, unloaded: str) -> None:
    code = f"import sys, {module}; print([m for m in {unloaded.split()} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_clients_know_games_and_the_wire_and_nothing_else_of_rayatari() -> None:
    allowed = ("rayatari.clients", "rayatari.games", "rayatari.protocol", "rayatari.errors")
    wrong = [
        f"{module} -> {imported}"
        for module, imports in graph().items()
        for imported in imports - {"rayatari"}
        if module.startswith("rayatari.clients") and not imported.startswith(allowed)
    ]
    assert not wrong


def test_no_file_is_longer_than_400_lines() -> None:
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").glob("*.*")]
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > 400}
    assert not long


def test_the_top_level_is_the_fixed_one() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    folders = {name.split("/")[0] for name in tracked.stdout.splitlines() if "/" in name}
    assert folders <= {"rayatari", "configs", "scripts", "tests", "docs", "results", "cluster", ".ci"}


def test_a_wheel_holds_all_that_is_shipped() -> None:
    """Shipped agents lie deeper than neural games: a pattern had left them out of every wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["rayatari"]
    packed = {path for pattern in patterns for path in PACKAGE.glob(pattern) if path.is_file()}
    shipped = {path for path in (PACKAGE / "pretrained").rglob("*") if path.is_file()}
    assert shipped == packed and any("agents" in path.parts for path in shipped)
