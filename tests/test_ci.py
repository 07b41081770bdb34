"""CI needs a browser: it ends without one, and tests that would skip elsewhere fail there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from in_browser import chromium


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


MAKE = 'echo "$1 $CLIPDYN_BROWSER" >> "$SAID"'


def test_ci_ends_if_chromium_cannot_be_installed(checkout: Path, tmp_path: Path) -> None:
    assert _run(checkout, tmp_path, make=MAKE, apt_get='[ "$1" = update ]') == (1, "")


def test_ci_requires_the_browser_in_all_that_it_runs(checkout: Path, tmp_path: Path) -> None:
    said = "test required\nlint required\ndocs required\n"
    assert _run(checkout, tmp_path, make=MAKE, chromium="exit 1") == (0, said)


def test_a_missing_browser_skips_a_test_and_fails_it_where_it_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    monkeypatch.delenv("CLIPDYN_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        chromium()
    monkeypatch.setenv("CLIPDYN_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        chromium()
