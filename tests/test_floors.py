"""Imports go downward only, and `import marl_stl_env` stays light."""

import ast
import graphlib
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: From the bottom to the top. The longest prefix of a module's name decides its floor; files of one
#: package may import each other, packages on one floor may not.
FLOORS = {
    module: floor
    for floor, modules in enumerate(
        [
            "errors types validation files config plugins registry arrays",
            "data stl consensus",
            "engine",
            "adversary rendering",
            "envs",
            "registration testing",
        ]
    )
    for module in (f"marl_stl_env.{name}" for name in modules.split())
}
FLOORS["marl_stl_env"] = FLOORS["marl_stl_env.registration"]
TRAINER = "marl_stl_agents"
_FIRST = len(set(FLOORS.values()))
FLOORS |= {
    f"{TRAINER}.{name}": _FIRST + floor
    for floor, names in enumerate(
        [
            "config metric_names printable run_directory run_data run_plugins command_line",
            "buffers",
            "policies",
            "algorithms",
            "checkpoints",
            "evaluation",
            "redteam",
            "diagnostics imitation",
            "console",
            "rllib",
            "reporting",
            "training serving",
            "commands api",
        ]
    )
    for name in names.split()
}
FLOORS[TRAINER] = max(FLOORS.values()) + 1  # its __init__.py alone
FLOORS |= dict.fromkeys(("train", "evaluate", "benchmarks"), max(FLOORS.values()) + 1)
#: On these floors the packages do not know each other.
SIBLING_FLOORS = (1,)
#: Libraries that only these modules may import.
RESERVED = {
    "pandas": ("marl_stl_env.data", "marl_stl_agents"),
    "stable_baselines3": (
        "marl_stl_env.envs.adversarial.sb3",
        "marl_stl_env.envs.base",
        "marl_stl_env.envs.sb3",
        "marl_stl_env.envs.supersuit",
        TRAINER,
    ),
    "sb3_contrib": ("marl_stl_agents",),
    "nfstream": ("marl_stl_env.data.ingest.sources.nfstream",),
    "onnxruntime": ("marl_stl_agents.checkpoints.onnx",),
    "supersuit": ("marl_stl_env.envs.supersuit",),
    "torch": (
        "marl_stl_env.engine.torch_arrays",
        "marl_stl_env.engine.torch_engine",
        "marl_stl_agents",
    ),
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
    """The floor of a file and the package that decides it; ``__main__`` files are no exception."""
    prefixes = [p for p in FLOORS if module == p or module.startswith(f"{p}.")]
    package = max(prefixes, key=len)
    return FLOORS[package], package


def imports(path: Path) -> set[str]:
    """What a file imports anywhere, inside functions and under ``TYPE_CHECKING`` too.

    ``from a import b`` may name a file ``a.b`` or something in ``a``: both are in the set.
    """
    return {name for names in statements(path.read_text()) for name in names}


def statements(source: str) -> list[tuple[str, ...]]:
    """The imports of a source, each as its possible names, the longest first."""
    found: list[tuple[str, ...]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(alias.name,) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide what is imported"
            found += [(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names]
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


def graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Which files each file imports, by the files' names."""
    return {
        module: {
            name
            for names in statements(source)
            if (name := next((one for one in names if one in sources), module)) != module
        }
        for module, source in sources.items()
    }


def circle(files: dict[str, set[str]]) -> list[str]:
    """The files of one circle of imports, in their order; none where there is none."""
    try:
        graphlib.TopologicalSorter(files).prepare()
    except graphlib.CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_downward(module: str) -> None:
    assert wrong_imports(module, imports(modules()[module]), set(modules())) == []


def test_every_package_has_a_floor_of_its_own() -> None:
    """A new package would else be on the floor of the package around it."""
    for root in (ROOT / "marl_stl_env", ROOT / "agents" / TRAINER):
        for path in root.iterdir():
            if path.is_dir() and any(path.rglob("*.py")):
                assert f"{root.name}.{path.name}" in FLOORS


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("marl_stl_env.data.table", "marl_stl_env.engine.engine"),
        ("marl_stl_env.data.table", "marl_stl_env.consensus.rules"),
        ("marl_stl_env.engine.engine", "marl_stl_env.envs.parallel"),
        ("marl_stl_env.envs.parallel", "marl_stl_agents.algorithms.ppo"),
        ("marl_stl_env.stl.__main__", "marl_stl_agents.command_line"),
        ("marl_stl_agents.config", "marl_stl_agents.policies.build"),
        ("marl_stl_agents.buffers.returns", "marl_stl_agents.algorithms.ppo"),
        ("marl_stl_agents.algorithms.ppo", "marl_stl_agents.checkpoints.store"),
        ("marl_stl_agents.evaluation.metrics", "marl_stl_agents.reporting.page"),
        ("marl_stl_agents.training.run", "marl_stl_agents.commands.export"),
    ],
)
def test_an_upward_import_is_seen(importer: str, imported: str) -> None:
    known = {*modules(), "marl_stl_env.stl.__main__"}
    assert imported in known
    assert wrong_imports(importer, {imported}, known) != []
    if floor_of(importer)[0] != floor_of(imported)[0]:
        assert wrong_imports(imported, {importer}, known) == []


def test_files_do_not_import_each_other_in_a_circle() -> None:
    assert circle(graph({name: path.read_text() for name, path in modules().items()})) == []


@pytest.mark.parametrize(
    "back",
    [
        "import p.a",
        "from p import a",
        "from p.a import thing",
        "def later():\n    from p import a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.a import Thing",
    ],
)
def test_a_circle_is_seen(back: str) -> None:
    sources = {"p": "", "p.a": "from p.b import x", "p.b": "from p import c", "p.c": back}
    assert set(circle(graph(sources))) == {"p.a", "p.b", "p.c"}
    sources["p.c"] = "import os"
    assert circle(graph(sources)) == []


@pytest.mark.parametrize("module", sorted(modules()))
def test_heavy_libraries_stay_in_their_rooms(module: str) -> None:
    used = {name.split(".")[0] for name in imports(modules()[module])}
    for library, rooms in RESERVED.items():
        allowed = any(module == room or module.startswith(f"{room}.") for room in (*rooms, *FREE))
        assert library not in used or allowed, f"{module} imports {library}"


def loaded_by(code: str) -> set[str]:
    """The modules that a new process has after some code."""
    code = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    """It costs what Gymnasium costs: the rest is loaded with the first name that needs it."""
    own = {name for name in loaded_by("import marl_stl_env") if name.startswith("marl_stl_env")}
    assert own == {"marl_stl_env", "marl_stl_env.registration"}


def test_the_environment_needs_no_heavy_library() -> None:
    every = "from marl_stl_env import *\nparallel_env(dataset_options={'rows': 900}).reset()"
    heavy = "torch stable_baselines3 supersuit matplotlib sklearn pandas pyarrow"
    loaded = loaded_by(every)
    assert {"marl_stl_env.envs.parallel", "marl_stl_env.response_v0"} <= loaded
    assert loaded.isdisjoint(heavy.split())


def test_every_public_name_is_the_one_of_its_module() -> None:
    """As type checkers see them, under ``TYPE_CHECKING``."""
    import marl_stl_env

    tree = ast.parse((ROOT / "marl_stl_env" / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    stated = {
        alias.name: node.module
        for node in blocks[0].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert stated.keys() == set(marl_stl_env.__all__)
    for name, home in stated.items():
        assert getattr(marl_stl_env, name) is getattr(import_module(str(home)), name)
    assert set(marl_stl_env.__all__) <= set(dir(marl_stl_env))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(marl_stl_env, "nothing")  # noqa: B009 - mypy knows that it is not there


def test_gymnasium_finds_the_environment_after_import() -> None:
    code = (
        "import gymnasium, marl_stl_env; "
        "print(gymnasium.make('marl_stl_env/Traffic-v0').action_space)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "Discrete(4)"
