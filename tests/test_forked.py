"""A forked command behaves like one that an interpreter starts."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import forked
import pytest

PROGRAM = """
import os, sys
print(__name__, sys.argv[1:], os.getcwd(), os.environ.get("PLANTED"))
print("spoken", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("way", ["-c", "-m", "script"])
def test_it_prints_and_ends_as_by_an_interpreter(tmp_path: Path, way: str) -> None:
    script = tmp_path / "planted.py"
    script.write_text(PROGRAM)
    words = {"-c": ["-c", PROGRAM], "-m": ["-m", "planted"], "script": [str(script)]}[way]
    command = [sys.executable, *words, "a", "b"]
    environment = os.environ | {"PLANTED": "here"}
    done = forked.run(command, cwd=tmp_path, env=environment)
    cold = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (cold.returncode, cold.stdout, cold.stderr)


def test_an_exception_is_printed_and_a_signal_is_reported() -> None:
    done = forked.run([sys.executable, "-c", "1 / 0"])
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")
    process = forked.start([sys.executable, "-c", "import time; time.sleep(100)"])
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == process.poll() == -signal.SIGKILL


def test_an_environment_that_libraries_read_at_import_is_refused() -> None:
    with pytest.raises(AssertionError, match="HF_HOME is read at import"):
        forked.run([sys.executable, "-c", ""], env=os.environ | {"HF_HOME": "/elsewhere"})
