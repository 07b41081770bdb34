"""Jobs whose command does whatever a test wants: a plug-in of `clipdyn datasets` counts the call, and then does it."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import indent

from hf_clipdyn.errors import TrainingError
from hf_clipdyn.jobs import Job, Missing, Scheduler, Work

PLUGIN = """
import os, signal, sys, time
from pathlib import Path
from hf_clipdyn.data import load
datasets_table = load.datasets_table
def work():
    calls = Path(__file__).with_suffix(".calls")
    calls.write_text(calls.read_text() + "x" if calls.exists() else "x")
    first, done = calls.read_text() == "x", Path(__file__).with_suffix(".done")
{body}
    return datasets_table()
load.datasets_table = work
"""
DONE = "done.touch()\n"
KILLED_ONCE = "if first:\n    os.kill(os.getpid(), signal.SIGKILL)\n" + DONE
FAILS = "sys.exit(3)\n"


class Plugins(Work):
    """A job a plug-in; it is done when the plug-in says so."""

    noun = "job"
    error = TrainingError

    def __init__(self, folder: Path, bodies: dict[str, str]) -> None:
        self.folder, self.logs = folder, folder / "logs"
        for name, body in bodies.items():
            (folder / f"{name}.py").write_text(PLUGIN.format(body=indent(body, "    ")))
        self.jobs = [Job(one, ("datasets", "--plugin", str(folder / f"{one}.py"))) for one in bodies]

    def left(self) -> list[str]:
        """The jobs that are not done."""
        return [one.name for one in self.jobs if not (self.folder / f"{one.name}.done").exists()]

    def missing(self, scheduler: Scheduler, *, ended: bool = False) -> Missing:
        left: Sequence[Job] = [one for one in self.jobs if one.name in self.left()]
        return Missing(left, f"{len(left)} of {len(self.jobs)} jobs are missing.")

    def finish(self, scheduler: Scheduler) -> str:
        return f"All is in {scheduler.place(self.folder)}."

    def calls(self) -> dict[str, int]:
        """How often each job was started."""
        return {path.stem: len(path.read_text()) for path in sorted(self.folder.glob("*.calls"))}
