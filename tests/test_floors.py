"""Imports go downward only, and `import marl_stl_env` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: The longest prefix of a module's name decides its floor.
FLOORS = {
    "marl_stl_env.errors": 0,
    "marl_stl_env.types": 0,
    "marl_stl_env.config": 0,
    "marl_stl_env.validation": 0,
    "marl_stl_env.files": 0,
    "marl_stl_env.data": 1,
    "marl_stl_env.stl": 1,
    "marl_stl_env.consensus": 1,
    "marl_stl_env.engine": 2,
    "marl_stl_env.rendering": 3,
    "marl_stl_env.envs": 4,
    "marl_stl_env.registration": 5,
    "marl_stl_env": 5,
    "marl_stl_agents": 6,
    "train": 7,
    "evaluate": 7,
    "benchmarks": 7,
}
#: On these floors the packages do not know each other.
SIBLING_FLOORS = (1,)
TRAINER = "marl_stl_agents"
#: Libraries that only these modules may import.
RESERVED = {
    "pandas": ("marl_stl_env.data", "marl_stl_agents"),
    "stable_baselines3": (
        "marl_stl_env.envs.sb3",
        "marl_stl_env.envs.supersuit",
        TRAINER,
    ),
    "sb3_contrib": ("marl_stl_agents",),
    "onnxruntime": ("marl_stl_agents.checkpoints.onnx",),
    "supersuit": ("marl_stl_env.envs.supersuit",),
    "torch": ("marl_stl_env.engine.torch_engine", "marl_stl_agents"),
    "matplotlib": ("marl_stl_env.rendering", "marl_stl_agents"),
    "pettingzoo": ("marl_stl_env.envs",),
    "gymnasium": ("marl_stl_env.envs", "marl_stl_env.registration", "marl_stl_agents"),
    "sklearn": ("marl_stl_env.data", "marl_stl_agents"),
    "ray": ("marl_stl_agents.rllib", "marl_stl_agents.commands.sweep"),
}
FREE = ("benchmarks", "train", "evaluate")


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "agents":  # a source root, not a package
        parts = parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    folders = ("marl_stl_env", "agents", "benchmarks")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {module_name(path): path for path in [*paths, ROOT / "train.py", ROOT / "evaluate.py"]}


def floor_of(module: str) -> tuple[int, str]:
    """The floor and the package that decides it; `__main__` files are entry points."""
    if module.endswith("__main__"):
        return 7, module
    prefixes = [p for p in FLOORS if module == p or module.startswith(f"{p}.")]
    package = max(prefixes, key=len)
    return FLOORS[package], package


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def wrong_imports(module: str, imported: set[str], known: set[str]) -> list[str]:
    floor, package = floor_of(module)
    wrong = []
    for name in imported & known:
        other, home = floor_of(name)
        sibling = other == floor and home != package and floor in SIBLING_FLOORS
        if other > floor or sibling:
            wrong.append(f"{module} (floor {floor}) imports {name} (floor {other})")
    return wrong


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_downward(module: str) -> None:
    assert wrong_imports(module, imports(modules()[module]), set(modules())) == []


def test_an_upward_import_is_seen() -> None:
    known = set(modules())
    for importer, imported in [
        ("marl_stl_env.data.table", "marl_stl_env.engine.engine"),
        ("marl_stl_env.data.table", "marl_stl_env.consensus.rules"),
        ("marl_stl_env.engine.engine", "marl_stl_env.envs.parallel"),
        ("marl_stl_env.envs.parallel", "marl_stl_agents.algorithms.ppo"),
    ]:
        assert wrong_imports(importer, {imported}, known) != []
    assert (
        wrong_imports("marl_stl_agents.algorithms.ppo", {"marl_stl_env.engine.engine"}, known) == []
    )


@pytest.mark.parametrize("module", sorted(modules()))
def test_heavy_libraries_stay_in_their_rooms(module: str) -> None:
    used = {name.split(".")[0] for name in imports(modules()[module])}
    for library, rooms in RESERVED.items():
        allowed = any(module == room or module.startswith(f"{room}.") for room in (*rooms, *FREE))
        assert library not in used or allowed, f"{module} imports {library}"


def test_importing_the_package_is_light() -> None:
    code = (
        "import sys, marl_stl_env; "
        "heavy = {'torch', 'stable_baselines3', 'supersuit', 'matplotlib', 'sklearn', 'pandas',"
        " 'scipy', 'pyarrow'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_gymnasium_finds_the_environment_after_import() -> None:
    code = (
        "import gymnasium, marl_stl_env; "
        "print(gymnasium.make('marl_stl_env/Traffic-v0').action_space)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Discrete(4)"
