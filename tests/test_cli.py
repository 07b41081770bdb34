"""The command line: its commands, what they load, and where they write. tests/test_first_hour.py has its errors."""

import subprocess
import sys
from pathlib import Path

import forked
import pytest
from PIL import Image

from hf_clipdyn.cli import command_class, command_names
from hf_clipdyn.errors import ConfigError

NAMED = ["evaluate", "me/run", "--store", ".", "--output", "results.parquet"]


@pytest.mark.parametrize(
    ("calls", "codes", "heavy"),
    [
        (
            [[], ["--help"], ["--version"], ["x"], ["train", "--learning_rate", "x"]]
            + [["evaluate", "me/run", f"--noise-{name}", "x"] for name in ("sigmas", "conditions")]
            + [[name, word] for name in command_names() for word in ("--help", "--help-all", "--nonsense=1")],
            {0, 2},
            {"accelerate", "datasets", "numpy", "pandas", "scipy", "torch", "transformers"},
        ),
        (
            [
                [*NAMED, *wrong, *more]
                for wrong in (["--benchmarks", "nois/cifar10"], ["--relations", "weight"])
                for more in ([], ["--dry-run"])
            ],
            {2},
            {"accelerate", "torch", "transformers"},
        ),
    ],
    ids=["help, a wrong command or option", "a wrong benchmark or relation"],
)
def test_what_computes_nothing_loads_no_heavy_library(
    calls: list[list[str]], codes: set[int], heavy: set[str]
) -> None:
    program = (
        "import sys\n"
        "from hf_clipdyn.cli import main\n"
        f"for argv in {calls!r}:\n"
        "    try: main(argv)\n"
        f"    except SystemExit as stop: assert stop.code in {codes!r}, argv\n"
        f"    loaded = {heavy!r} & set(sys.modules)\n"
        "    assert not loaded, (argv, loaded)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_terminal_prepare_prints_its_result_and_no_bar(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(images / f"{number}.png")
    (images / "metadata.csv").write_text("file_name,text\n0.png,a\n1.png,b\n2.png,c\n")
    words = ["prepare", "imagefolder", "--data-dir", f"imagefolder={images}", "--output", "out"]
    done = forked.run([sys.executable, "-m", "hf_clipdyn.cli", *words], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{tmp_path / 'out'}: train 3 rows.")


def test_what_is_made_of_a_run_alone_is_written_into_its_folder(tmp_path: Path) -> None:
    assert command_class("report").read([str(tmp_path)]).output == tmp_path / "report"
    assert command_class("share").read([str(tmp_path)]).output == tmp_path / "share"
    assert command_class("report").read([str(tmp_path), "--print", "numbers"]).output is None
    assert command_class("share").read([str(tmp_path), "--push-to-hub"]).output is None
    with pytest.raises(ConfigError, match="--output is missing"):
        command_class("report").read([str(tmp_path), str(tmp_path)])
