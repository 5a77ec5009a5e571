import subprocess
import sys

import gymnasium
import pytest

import rayatari  # noqa: F401
from rayatari.games.registration import environment_id, register_environments
from rayatari.games.specs import SPECS


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("imports", ["import rayatari, gymnasium", "import gymnasium, rayatari"])
def test_environments_are_registered_whichever_is_imported_first(imports: str) -> None:
    listed = "print(*sorted(i for i in gymnasium.registry if i.startswith('rayatari/')), sep=',')"
    expected = sorted(environment_id(spec.title) for spec in SPECS.values())
    assert run_python(f"{imports}; {listed}").strip().split(",") == expected


def test_importing_rayatari_leaves_gymnasium_as_it_would_be() -> None:
    loaders = "type(gymnasium.__loader__).__name__, gymnasium.__spec__.loader is gymnasium.__loader__"
    code = f"import gymnasium; print({loaders})"
    assert run_python(f"import rayatari; {code}") == run_python(code)


def test_importing_rayatari_imports_nothing_heavy() -> None:
    heavy = "{'gymnasium', 'ale_py', 'numpy', 'torch', 'ray'}"
    assert run_python(f"import sys, rayatari; print(sorted({heavy} & set(sys.modules)))").strip() == "[]"


def test_registering_again_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_environments()
    assert gymnasium.registry == before


@pytest.mark.parametrize("name", SPECS)
def test_environment_knows_its_game_and_has_no_step_limit(name: str) -> None:
    spec = gymnasium.spec(environment_id(SPECS[name].title))
    assert spec.kwargs == {"game": name}
    assert spec.max_episode_steps is None
