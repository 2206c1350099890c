"""The wheel, installed away from the checkout: what it holds, and that its commands work."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SIZES = "--lanes 4 --n-steps 16 --iterations 1 --episode-length 40 --width 8"
TINY = f"--backend native {SIZES} --dataset-options rows=2000"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "--no-index", "--quiet", "--wheel-dir", folder, ROOT], check=True, cwd=folder
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of executables of an environment with the wheel and a stub named ``agents``.

    It sees the libraries of the test environment, but not the checkout: a path file is not read
    through another path file.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False, symlinks=True)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    site, scripts = Path(paths["purelib"]), Path(paths["scripts"])
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (site / "agents").mkdir()
    (site / "agents" / "__init__.py").write_text("WHOSE = 'another package'\n")
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return scripts


def run(installed: Path, folder: Path, command: str, *arguments: str) -> str:
    done = subprocess.run(
        [installed / command, *arguments], capture_output=True, check=False, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_two_packages(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"marl_stl_env", "marl_stl_agents"}
    for package in tops:
        assert f"{package}/py.typed" in names
    assert "marl_stl_agents/reporting/templates/report.html" in names
    mappings = "marl_stl_env/data/ingest/sources/mappings/"
    assert f"{mappings}suricata-flow.json" in names
    data = [name for name in names if name.endswith((".json", ".csv", ".parquet"))]
    limits = "marl_stl_env/adversary/limits/"
    assert f"{limits}synthetic.json" in names
    assert [name for name in data if not name.startswith((mappings, limits))] == []


def test_another_package_named_agents_stays_whole(installed: Path, tmp_path: Path) -> None:
    code = "import agents, marl_stl_agents, marl_stl_env; print(agents.WHOSE)"
    assert run(installed, tmp_path, "python", "-c", code) == "another package\n"


@pytest.mark.long
def test_the_commands_train_and_evaluate(installed: Path, tmp_path: Path) -> None:
    flags = [*TINY.split(), "--no-progress", "--no-preflight"]
    run(installed, tmp_path, "marl-stl-train", *flags, "--run-dir", "run")
    assert (tmp_path / "run" / "validation.json").is_file()
    run(installed, tmp_path, "marl-stl-evaluate", "run")
    assert (tmp_path / "run" / "evaluation.json").is_file()
    assert "synthetic" in run(installed, tmp_path, "marl-stl-data", "list")
    assert "--input" in run(installed, tmp_path, "marl-stl-decide", "--help")


def test_a_missing_extra_is_named_in_one_line(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tyro'] = None; "
        "from marl_stl_agents.scripts import train; sys.exit(train())"
    )
    done = subprocess.run(
        [installed / "python", "-c", code],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "marl-stl-env[train]" in done.stderr
