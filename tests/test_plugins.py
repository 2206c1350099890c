"""Registries and plugins: names, imports, and what is said when they fail."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import SubprocVecEnv

import marl_stl_env as mse
from marl_stl_env.config import ConsensusConfig, EnvConfig
from marl_stl_env.consensus.faults import FAULTS, Flip, fault_names
from marl_stl_env.consensus.rules import RULES
from marl_stl_env.data.loaders import DATASETS
from marl_stl_env.engine.engine import Engine
from marl_stl_env.errors import ConfigError, PluginError, UnknownNameError
from marl_stl_env.plugins import canonical, load_plugins, temporary_plugins
from marl_stl_env.types import Float32Array, Int8Array
from tests.conftest import make_table

pytestmark = pytest.mark.usefixtures("own_registrations")
RULE = '''
    import numpy as np
    import marl_stl_env as mse

    @mse.register_rule("first")
    def first(actions, max_faulty, threshold):
        """The opposite of what the first sensor chose: 0 for 3."""
        return 3 - np.maximum(actions[:, 0], 0)
    '''


def plugin(folder: Path, text: str, name: str = "mine.py") -> str:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return str(path)


def zero(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
    return np.zeros(len(actions), np.int8)


def test_a_plugin_registers_once_and_can_be_forgotten(tmp_path: Path) -> None:
    path = plugin(tmp_path, RULE)
    with temporary_plugins():
        (loaded,) = load_plugins([path])
        assert load_plugins([path]) == (loaded,)
        copy = plugin(tmp_path, RULE, "copy.py")
        load_plugins([copy])  # the same content: nothing is registered again
        assert RULES.is_own("first")
        assert "first" not in RULES.builtin()
    assert "first" not in RULES


def test_a_dotted_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(tmp_path, RULE, "my_rules_of_this_test.py")
    monkeypatch.syspath_prepend(tmp_path)
    (loaded,) = load_plugins(["my_rules_of_this_test"])
    assert loaded.file == tmp_path / "my_rules_of_this_test.py"
    assert "first" in RULES


def test_configurations_name_files_absolutely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = EnvConfig(plugins=("here.py", "some.module"))
    assert config.plugins == (str(tmp_path / "here.py"), "some.module")
    assert mse.EnvConfig(plugins=config.plugins) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import numpy as np\n1 / 0\n", "fails in line 2: ZeroDivisionError"),
        ("def broken(:\n", "fails in line 1: SyntaxError"),
        ("import not_a_module_at_all\n", "fails in line 1: ModuleNotFoundError"),
        (RULE.replace('"first"', '"threshold"'), "'threshold' is built in; choose another name"),
        (RULE.replace('"first"', '"not a name"'), "a name is a letter, then letters"),
        (f"{RULE}mse.register_rule('first', first)\n", "registered already; .*replace=True"),
    ],
)
def test_a_plugin_that_fails_registers_nothing(tmp_path: Path, text: str, said: str) -> None:
    path = plugin(tmp_path, text)
    with pytest.raises(PluginError, match=f"(?s)mine.py.*{said}"):
        load_plugins([path])
    assert set(RULES) == {"threshold"}
    plugin(tmp_path, RULE)
    load_plugins([path])  # corrected, it can be imported
    assert "first" in RULES


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("not_a_module_at_all", "Python finds no such module; .*PYTHONPATH.* ./not_a_module_at_al"),
        ("marl_stl_env.not_there", "Python finds no such module"),
        ("not-a-module", "neither a dotted module"),
        ("./gone.py", "there is no such .py file"),
        ("", "neither a dotted module"),
    ],
)
def test_a_plugin_that_is_not_there(name: str, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        load_plugins([name])


def test_names() -> None:
    mse.register_rule("zero", zero)
    with pytest.raises(PluginError, match=r"zero.*registered already; .*replace=True"):
        mse.register_rule("zero", zero)
    mse.register_rule("zero", lambda actions, *_: np.ones(len(actions), int), replace=True)
    with pytest.raises(PluginError, match="rule 'threshold' is built in"):
        mse.register_rule("threshold", zero, replace=True)
    with pytest.raises(PluginError, match="dataset 'synthetic' is built in"):
        mse.register_dataset("synthetic", lambda: None)
    with pytest.raises(PluginError, match="reward 'payoffs' is built in"):
        mse.register_reward("payoffs", lambda _, payoffs: payoffs)
    for name in ("alerts_16", "threat", "age", "denied_3"):
        with pytest.raises(PluginError, match="is built in"):
            mse.register_spec_signal(name, lambda step: step.labels)
    for name in ("always", "true", "G", "a-b"):
        with pytest.raises(PluginError, match="no formula can use it"):
            mse.register_spec_signal(name, lambda step: step.labels)


@pytest.mark.parametrize("given", [3, "text", object()])
def test_what_cannot_be_called_is_no_part(given: Any) -> None:
    registers: list[Any] = [mse.register_rule, mse.register_reward, mse.register_spec_signal]
    for register in registers:
        with pytest.raises(PluginError, match="cannot be called"):
            register("mine", given)
    with pytest.raises(PluginError, match="function that returns a TrafficTable"):
        mse.register_dataset("mine", given)
    with pytest.raises(PluginError, match="is no fault"):
        mse.register_fault("mine", given)


def test_an_unknown_name_says_how_to_make_it_known() -> None:
    for settings in (
        {"dataset": "mine"},
        {"consensus": {"rule": "mine"}},
        {"reward": {"reward_function": "mine"}},
        {"faults": {"faulty": 1, "fault": "mine"}},
    ):
        with pytest.raises(UnknownNameError, match=r"'mine'; known: .*--plugin MODULE"):
            mse.parallel_env(agents=4, **settings)


def test_mixed_draws_the_built_in_faults_alone() -> None:
    builtin = tuple(FAULTS)

    @mse.register_fault("mine")
    class Mine(Flip):
        """Nothing new."""

    assert fault_names("mixed") == builtin
    assert fault_names("mixed+mine") == (*builtin, "mine")
    assert fault_names("mine+flip") == ("mine", "flip")
    with pytest.raises(ConfigError, match="twice"):
        fault_names("mixed+flip")
    with pytest.raises(UnknownNameError, match="'yours'"):
        fault_names("mine+yours")


def test_a_data_set_that_is_registered_anew_is_loaded_anew() -> None:
    def table(rows: int, **changed: object) -> mse.TrafficTable:
        labels = np.arange(rows) % 3 == 0
        fields: dict[str, Any] = {
            "name": "any",
            "features": np.random.default_rng(0).normal(size=(rows, 2)).astype(np.float32),
            "labels": labels,
            "families": labels.astype(np.int16),
            "family_names": ("benign", "attack"),
            "feature_names": ("a", "b"),
            "views": {"one": (0,), "two": (1,)},
        }
        return mse.TrafficTable(**{**fields, **changed})

    mse.register_dataset("mine", lambda: table(300))
    assert mse.load_dataset("mine").name == "mine"
    first = mse.data.prepare(mse.EnvConfig(data=mse.DataConfig(dataset="mine")))
    mse.register_dataset("mine", lambda: table(600), replace=True)
    second = mse.data.prepare(mse.EnvConfig(data=mse.DataConfig(dataset="mine")))
    assert (len(first.raw), len(second.raw)) == (300, 600)
    with pytest.raises(UnknownNameError, match="option of data set 'mine' 'rows'"):
        mse.load_dataset("mine", rows=3)
    mse.register_dataset("mine", lambda: [1, 2], replace=True)
    with pytest.raises(PluginError, match=r"dataset 'mine' .* returns list; it must be a Traff"):
        mse.load_dataset("mine")
    assert DATASETS.is_own("mine")


def test_a_users_error_has_the_users_name() -> None:
    def wrong(actions: Int8Array, max_faulty: int, threshold: int) -> Int8Array:
        raise KeyError("lost")

    mse.register_rule("wrong", wrong)
    env = mse.parallel_env(agents=4, consensus={"rule": "wrong"})
    env.reset(seed=0)
    with pytest.raises(PluginError, match=r"rule 'wrong' .*wrong.* raised KeyError: 'lost' \(.*li"):
        env.step(dict.fromkeys(env.agents, 1))


def test_a_function_that_cannot_be_called_so_has_no_line_of_ours() -> None:
    mse.register_reward("mine", lambda table: table)  # type: ignore[call-overload]
    with pytest.raises(PluginError, match=r"raised TypeError: .* 2 were given$"):
        mse.parallel_env(agents=4, reward={"reward_function": "mine"})


def test_an_engine_imports_its_plugins(tmp_path: Path) -> None:
    own = ConsensusConfig(rule="first")
    config = EnvConfig(agents=4, consensus=own, plugins=(plugin(tmp_path, RULE),))
    engine = Engine(config, make_table(), 1, 0)
    engine.reset()
    assert engine.step(np.full((1, 4), 3)).decisions.tolist() == [0]


def test_an_unhashable_reward_is_as_good_as_another() -> None:
    class Doubling(list[int]):
        """Lists cannot be hashed."""

        def __call__(self, _: mse.TrafficTable, payoffs: Float32Array) -> Float32Array:
            return 2.0 * payoffs

    earned = []
    mse.register_reward("mine", Doubling())
    for name in ("payoffs", "mine"):
        env = mse.parallel_env(
            dataset_options={"rows": 2_000}, agents=4, reward={"reward_function": name}
        )
        env.reset(seed=0)
        earned.append(env.step(dict.fromkeys(env.agents, 1))[1]["sensor_0"])
    assert earned[1] == 2.0 * earned[0] != 0.0


@pytest.mark.timeout(300)
@pytest.mark.long
def test_a_child_process_imports_the_plugin(tmp_path: Path) -> None:
    make = partial(
        gymnasium.make,
        "marl_stl_env:marl_stl_env/Traffic-v0",
        episode_length=3,
        consensus={"rule": "first"},
        plugins=[plugin(tmp_path, RULE)],
    )
    venv = SubprocVecEnv([make], start_method="spawn")
    try:
        venv.seed(0)
        venv.reset()
        _, _, _, infos = venv.step(np.array([3]))
    finally:
        venv.close()
    assert infos[0]["decision"] == 0
    assert "first" not in RULES  # the parent has not imported it


def test_a_script_can_name_itself_as_its_plugin(tmp_path: Path) -> None:
    text = dedent(RULE) + dedent(
        """
        env = mse.parallel_env(agents=4, consensus={"rule": "first"}, plugins=[__file__])
        env.reset(seed=0)
        print(env.step(dict.fromkeys(env.agents, 3))[4]["sensor_0"]["decision"])
        """
    )
    path = plugin(tmp_path, text)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0", done.stderr


def test_paths_and_modules_are_told_apart() -> None:
    assert canonical("a.b") == "a.b"
    assert canonical("./a.py") == str(Path("a.py").absolute())
