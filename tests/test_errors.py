"""From a cause to the one line that the command line prints: the file's name, the cause's words, no token."""

import errno
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from hf_clipdyn.errors import (
    ClipDynError,
    ConfigError,
    DatasetError,
    ModelError,
    TrainingInterrupted,
    naming,
    reported,
)

TOKEN = "hf_" + "a" * 34


@dataclass(frozen=True)
class _Point:
    x: int
    y: float = 0.0


def _json(path: Path) -> object:
    return json.loads(path.read_bytes())


def _point(path: Path) -> object:
    return TypeAdapter(_Point).validate_json(path.read_bytes())


@pytest.mark.parametrize(
    ("read", "content", "words"),
    [
        (Path.read_bytes, None, "No such file or directory."),
        (_json, b"[1", "JSONDecodeError: "),
        (_point, b'{"x": "1.5"}', "x is '1.5': "),
        (_point, b"{}", "x is missing."),
    ],
)
def test_the_name_of_a_file_comes_before_the_words_of_the_cause(
    tmp_path: Path, read: Callable[[Path], object], content: bytes | None, words: str
) -> None:
    path = tmp_path / "a.file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError) as found, naming(path, DatasetError):
        read(path)
    assert str(found.value).startswith(f"{path}: {words}")
    assert found.value.__cause__ is not None


def test_an_error_that_names_the_file_passes_and_another_keeps_its_class() -> None:
    with pytest.raises(ModelError, match=r"^a\.bin has no weights\.$"), naming("a.bin"):
        raise ModelError("a.bin has no weights.")
    with pytest.raises(ModelError, match=r"^a\.bin: it has no weights\.$"), naming("a.bin", DatasetError):
        raise ModelError("it has no weights.")
    with pytest.raises(MemoryError), naming("a.bin"):
        raise MemoryError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("There is no option x."), 2, "p: error: There is no option x."),
        (OSError(errno.ENOSPC, "No space left on device", "/data"), 1,
         "p: error: /data: No space left on device: free some space, then repeat the command."),
        (KeyError("a\nb"), 1, r"p: error: KeyError: 'a\nb'."),
        (ValueError("first\n\n second"), 1, "p: error: ValueError: first second."),
        (TrainingInterrupted("Stopped.", 15), 143, "p: Stopped."),
        (ClipDynError(f"{TOKEN} \x1b[2J"), 1, r"p: error: hf_*** \x1b[2J"),
    ],
)  # fmt: skip
def test_any_error_is_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    line: str,
) -> None:
    with pytest.raises(SystemExit) as ended, reported("p"):
        raise error
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{line}\n")
    monkeypatch.setenv("CLIPDYN_TRACEBACK", "1")
    with pytest.raises(SystemExit) as ended, reported("p"):
        raise error
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("Traceback (most recent call last):")
