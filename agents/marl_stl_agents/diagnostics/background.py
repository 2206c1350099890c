"""The preflight in a process of its own, so that a training need not wait for its classifiers."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO

from pydantic import ValidationError

from marl_stl_agents.diagnostics.preflight import (
    Preflight,
    as_json,
    from_json,
    has_own_code,
    known_preflight,
    preflight,
)
from marl_stl_env.config import EnvConfig
from marl_stl_env.data.prepare import PreparedData

#: Bytes of data that are handed to another process at most.
_LARGEST = 1 << 29
_POLL_SECONDS = 1.0


class BackgroundPreflight:
    """A preflight on the validation split that another process computes.

    It is there at once where it is known already, and where no other process can help: with a
    single core, with a rule or reward of the user's own, with data that is large, and where none
    can be started.

    Args:
        config: The environment.
        prepared: Its data.
        say: Called with what is being done.
    """

    def __init__(
        self, config: EnvConfig, prepared: PreparedData, say: Callable[[str], object]
    ) -> None:
        self._config, self._prepared, self._say = config, prepared, say
        self._process: subprocess.Popen[bytes] | None = None
        self._report = known_preflight(config, prepared)
        if self._report is not None:
            return
        if _cores() < 2 or has_own_code(config) or _bytes(prepared) > _LARGEST:
            self._report = preflight(config, prepared, say=say)
            return
        answer = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this
        try:
            self._process = _started(config, prepared, answer)
        except (OSError, AttributeError, TypeError, pickle.PicklingError):  # no room, or no pickle
            answer.close()
            self._report = preflight(config, prepared, say=say)
            return
        self._answer: IO[bytes] = answer
        say("checking the data beside the training: classifiers as a reference for the team")

    def poll(self) -> Preflight | None:
        """The report; None while it is being computed."""
        if self._process is not None and self._process.poll() is None:
            return None
        return self.wait()

    def wait(self) -> Preflight:
        """The report; where the other process failed, it is computed here.

        Raises:
            DataError: If the data cannot be used.
        """
        if self._report is None and self._process is not None:
            code = self._process.wait()
            self._answer.seek(0)
            try:
                self._report = from_json(self._answer.read())
            except ValidationError:
                self._say(f"the process that checked the data ended with {code}; trying it here")
        if self._report is None:
            self._report = preflight(self._config, self._prepared, say=self._say)
        return self._report

    def close(self) -> None:
        """End the other process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._answer.close()


def _cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def _bytes(prepared: PreparedData) -> int:
    tables = [prepared.raw, *prepared.tables.values()]
    return sum(table.features.nbytes for table in tables)


def _started(
    config: EnvConfig, prepared: PreparedData, answer: IO[bytes]
) -> subprocess.Popen[bytes]:
    with tempfile.TemporaryFile() as question:
        pickle.dump((config, prepared), question, protocol=pickle.HIGHEST_PROTOCOL)
        question.seek(0)
        # A signal of the terminal is the training's affair, which ends this process with itself.
        # What goes wrong is told by the attempt that follows in the training's own process.
        module = "marl_stl_agents.diagnostics.background"
        return subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-P", "-m", module, str(os.getpid())],
            stdin=question,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )


def end_with(parent: int) -> None:
    """End this process soon after the one that began it, which may be killed at any time.

    Args:
        parent: Its number.
    """
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os._exit(1)


def main() -> None:
    """Read what :class:`BackgroundPreflight` asks from standard input, and write the report."""
    threading.Thread(target=end_with, args=(int(sys.argv[1]),), daemon=True).start()
    config, prepared = pickle.load(sys.stdin.buffer)  # noqa: S301 - of the process that began this
    report = preflight(config, prepared, at_once=1)
    sys.stdout.buffer.write(as_json(report).encode())


if __name__ == "__main__":
    main()
