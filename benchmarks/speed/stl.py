"""Speed of temporal-logic monitoring compared with rtamt.

``python -m benchmarks.speed.stl --out stl.json``
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.common.measure import write_result
from benchmarks.common.partial import PARTIAL
from marl_stl_env.config import Dynamics, StlConfig
from marl_stl_env.envs.sb3 import TrafficVecEnv
from marl_stl_env.stl.monitor import Monitor, MonitorSet
from marl_stl_env.stl.parser import parse
from marl_stl_env.stl.robustness import robustness
from marl_stl_env.stl.signals import Traces
from marl_stl_env.stl.specs import default_specifications
from marl_stl_env.types import AnyArray, BoolArray

FORMULA = "G(threat -> F[0,5] contained)"
RTAMT_FORMULA = "always ((threat >= 0) -> (eventually[0,5] (contained >= 0)))"
WIDTHS = (4, 8, 16, 64, 256, 1024)


def main(
    lanes: int = 4096,
    steps: int = 256,
    repeats: int = 5,
    rtamt_lanes: int = 4096,
    out: Path | None = None,
) -> None:
    """Measure, print and write.

    Args:
        lanes: Lanes evaluated at once.
        steps: Samples of a trace.
        repeats: Runs of each of our measurements; the median is reported.
        rtamt_lanes: Lanes that rtamt evaluates, one after the other; its time is scaled up to
            ``lanes``.
        out: JSON file to write.
    """
    result: dict[str, Any] = {
        "lanes": lanes,
        "steps": steps,
        "offline": offline(lanes, steps, repeats, rtamt_lanes),
        "online": online(lanes, steps, repeats),
        "windows": windows(lanes, repeats),
        "environment": environment(lanes, repeats),
    }
    print_result(result)
    write_result(out, result)


def offline(lanes: int, steps: int, repeats: int, rtamt_lanes: int) -> dict[str, float]:
    """Robustness of recorded traces, ours (reading the arrays included) and rtamt's."""
    rng = np.random.default_rng(0)
    threat, contained = rng.random((lanes, steps)) < 0.1, rng.random((lanes, steps)) < 0.5
    formula = parse(FORMULA)

    def evaluate() -> AnyArray:
        return robustness(formula, Traces({"threat": threat, "contained": contained}))

    ours = median_seconds(evaluate, repeats)
    count = min(rtamt_lanes, lanes)
    theirs, values = rtamt_seconds(threat[:count], contained[:count])
    if not np.array_equal(values, evaluate()[:count]):
        raise RuntimeError("rtamt and marl_stl_env disagree")
    theirs *= lanes / count
    return {"seconds": ours, "rtamt_seconds": theirs, "ratio": theirs / ours, "rtamt_lanes": count}


def rtamt_seconds(threat: BoolArray, contained: BoolArray) -> tuple[float, AnyArray]:
    """Seconds and values of rtamt for all lanes (formula parsed and lists built before)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "typing.io is deprecated", DeprecationWarning)
        import rtamt
    specification = rtamt.StlDiscreteTimeOfflineSpecification()
    for name in ("threat", "contained"):
        specification.declare_var(name, "float")
    specification.spec = RTAMT_FORMULA
    specification.parse()
    clock = list(range(threat.shape[1]))
    traces = [
        {"time": clock, "threat": one.tolist(), "contained": two.tolist()}
        for one, two in zip(
            np.where(threat, 1.0, -1.0), np.where(contained, 1.0, -1.0), strict=True
        )
    ]
    start = time.perf_counter()
    values = [specification.evaluate(trace) for trace in traces]
    seconds = time.perf_counter() - start
    return seconds, np.array([[value for _, value in lane] for lane in values])


def online(lanes: int, steps: int, repeats: int) -> dict[str, float]:
    """Microseconds per step of all default specifications, reading of signals included."""
    rng = np.random.default_rng(0)
    monitors = MonitorSet(default_specifications(), lanes)
    names = {name for s in monitors.specifications for name in s.signals}
    samples = [
        {name: rng.integers(0, 30, lanes).astype(np.float32) for name in names}
        for _ in range(steps)
    ]

    def run() -> None:
        for sample in samples:
            monitors.step(sample)
            _ = monitors.violated

    ended = rng.random((steps, lanes)) < 1 / 1000

    def run_with_resets() -> None:
        for sample, mask in zip(samples, ended, strict=True):
            monitors.reset(mask)
            monitors.step(sample)
            _ = monitors.violated

    return {
        "specifications": len(monitors.specifications),
        "microseconds": median_seconds(run, repeats) / steps * 1e6,
        "microseconds_with_resets": median_seconds(run_with_resets, repeats) / steps * 1e6,
    }


def windows(lanes: int, repeats: int) -> dict[str, float]:
    """Microseconds per step of one window, by its width; reading the signal included."""
    rng = np.random.default_rng(0)
    samples = rng.random((256, lanes)).astype(np.float32)
    found = {}
    for width in WIDTHS:
        monitor = Monitor(parse(f"H[0,{width - 1}] x > 0.5"), lanes)

        def run(monitor: Monitor = monitor) -> None:
            for sample in samples:
                monitor.step({"x": sample})

        found[str(width)] = median_seconds(run, repeats) / len(samples) * 1e6
    return found


def environment(lanes: int, repeats: int, steps: int = 50) -> dict[str, dict[str, float]]:
    """Speed of ``TrafficVecEnv`` with and without the default specifications, in turns."""
    found: dict[str, dict[str, float]] = {}
    dynamics: tuple[Dynamics, ...] = ("replay", "response")
    for one in dynamics:
        bare = replace(PARTIAL, dynamics=one)
        watched = replace(bare, stl=StlConfig(monitor=True))
        shown = replace(bare, stl=StlConfig(monitor=True, observe=True))
        shielded = replace(bare, stl=StlConfig(monitor=True, shield=True))
        configs = (bare, watched, shown, shielded)
        venvs = [TrafficVecEnv(config, lanes, seed=0) for config in configs]
        actions = np.random.default_rng(0).integers(0, 4, venvs[0].num_envs)
        seconds = np.empty((repeats, len(venvs)))
        for venv in venvs:
            venv.reset()
        for turn in range(repeats):
            for number, venv in enumerate(venvs):
                start = time.process_time()
                for _ in range(steps):
                    venv.step(actions)
                seconds[turn, number] = time.process_time() - start
        least = seconds.min(axis=0)
        found[one] = {
            "microseconds": float(least[0]) / steps * 1e6,
            "monitored": float(least[0] / least[1]),
            "monitored_and_shown": float(least[0] / least[2]),
            "monitored_and_shielded": float(least[0] / least[3]),
        }
    return found


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median time of several runs after a warm-up run."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def print_result(result: dict[str, Any]) -> None:
    """Print the result."""
    table = Table(
        "measurement", "result", title=f"{result['lanes']} lanes, {result['steps']} steps"
    )
    offline, online = result["offline"], result["online"]
    count = offline["rtamt_lanes"]
    table.add_row(f"offline {escape(FORMULA)}", f"{offline['seconds']:.4f} s")
    scaled = "" if count == result["lanes"] else f", scaled up from {count} lanes"
    table.add_row(f"the same in rtamt{scaled}", f"{offline['rtamt_seconds']:.2f} s")
    table.add_row("ratio", f"{offline['ratio']:.0f}")
    table.add_row(
        f"online, {online['specifications']} default specifications, per step",
        f"{online['microseconds']:.0f} us",
    )
    table.add_row("online, with resets", f"{online['microseconds_with_resets']:.0f} us")
    for width, microseconds in result["windows"].items():
        table.add_row(f"one window of {width}, per step", f"{microseconds:.1f} us")
    for dynamics, figures in result["environment"].items():
        share = f"{figures['monitored']:.0%} ({figures['monitored_and_shown']:.0%} if shown)"
        table.add_row(
            f"TrafficVecEnv, {dynamics}: relative speed with specifications monitored", share
        )
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
