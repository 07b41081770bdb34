"""CI needs a browser: it ends without one, and a test that is skipped there for a reason that is not listed fails."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from in_browser import chromium
from skips import complete


def _run(checkout: Path, folder: Path, **programs: str) -> tuple[int, str]:
    """Exit code of `.ci/run` with these programs only, and what they wrote to ``$SAID``."""
    (folder / ".ci").mkdir()
    (folder / "bin").mkdir()
    shutil.copy(checkout / ".ci" / "run", folder / ".ci" / "run")
    for name in ("bash", "env", "dirname"):
        (folder / "bin" / name).symlink_to(shutil.which(name) or name)
    for name, script in programs.items():
        program = folder / "bin" / name.replace("_", "-")
        program.write_text(f"#!/usr/bin/env bash\n{script}\n")
        program.chmod(0o755)
    said = folder / "said"
    said.touch()
    environment = {"PATH": str(folder / "bin"), "SAID": str(said)}
    done = subprocess.run([folder / ".ci" / "run"], env=environment, check=False, timeout=60)
    return done.returncode, said.read_text()


MAKE = 'echo "$1 $CLIPDYN_TESTS" >> "$SAID"'


def test_ci_ends_if_chromium_cannot_be_installed(checkout: Path, tmp_path: Path) -> None:
    assert _run(checkout, tmp_path, make=MAKE, apt_get='[ "$1" = update ]') == (1, "")


def test_ci_runs_all_tests_the_linters_and_the_site(checkout: Path, tmp_path: Path) -> None:
    said = "test complete\nlint complete\ndocs complete\n"
    assert _run(checkout, tmp_path, make=MAKE, chromium="exit 1") == (0, said)


@pytest.mark.parametrize(
    ("reason", "outcome"), [("no Chromium on the PATH", "failed"), ("TRL is not installed", "skipped")]
)
def test_a_test_that_is_skipped_fails_in_ci_unless_its_reason_is_listed(
    reason: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report() -> pytest.TestReport:
        said = ("test_x.py", 1, f"Skipped: {reason}")
        return pytest.TestReport("test_x.py::test", said, {}, "skipped", said, "setup")

    monkeypatch.delenv("CLIPDYN_TESTS", raising=False)
    assert complete(report()).outcome == "skipped"
    monkeypatch.setenv("CLIPDYN_TESTS", "complete")
    assert complete(report()).outcome == outcome
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        chromium()
