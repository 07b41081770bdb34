"""The command line: names, options, errors."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from PIL import Image

from hf_clipdyn.bundled import study_names
from hf_clipdyn.cli import command_class, command_names, main
from hf_clipdyn.errors import ConfigError

HEAVY = ("accelerate", "datasets", "numpy", "pandas", "scipy", "torch", "transformers")

Clipdyn = Callable[..., tuple[int, str, str]]


def _exit(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    code = stopped.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


def test_the_commands_are_listed_in_four_groups_with_short_summaries(clipdyn: Clipdyn) -> None:
    listed = clipdyn("--help")[1]
    groups = ("Main path", "Data", "Models and revisions", "Sharing and support")
    places = [listed.index(f"\n{group}:\n") for group in groups]
    assert places == sorted(places)
    assert command_names()[:5] == ["demo", "train", "evaluate", "report", "study"]
    assert set(command_names()) == {
        *("demo", "train", "evaluate", "report", "study", "datasets", "prepare", "cache"),
        *("revisions", "verify", "repair", "import", "share", "app", "env"),
    }
    for name in command_names():
        (summary,) = re.findall(rf"^  {name} +(\S.+)\.$", listed, re.MULTILINE)
        assert len(summary) < 45
        assert command_class(name).__doc__


def test_the_help_of_a_study_names_those_of_the_package(clipdyn: Clipdyn) -> None:
    listed = clipdyn("study", "--help")[1].replace("\n", " ")
    assert [name for name in study_names() if not re.search(rf"[ ,]{name}[ ,.]", listed)] == []


def test_no_help_and_no_wrong_call_loads_a_heavy_library() -> None:
    calls = [[], ["--help"], ["--version"], ["x"], ["train", "--learning_rate", "x"]]
    calls += [[name, word] for name in command_names() for word in ("--help", "--help-all", "--nonsense=1")]
    calls += [
        ["evaluate", "me/run", "--noise-sigmas", "x"],
        ["evaluate", "me/run", "--noise-conditions", "x"],
    ]
    program = (
        "import sys\n"
        "from hf_clipdyn.cli import main\n"
        f"for argv in {calls!r}:\n"
        "    try: main(argv)\n"
        "    except SystemExit as stop: assert stop.code in (0, 2), argv\n"
        f"    loaded = [one for one in {HEAVY!r} if one in sys.modules]\n"
        "    assert not loaded, (argv, loaded)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wrong_name_of_a_benchmark_or_a_relation_is_refused_before_torch_is_loaded() -> None:
    named = ["evaluate", "me/run", "--store", ".", "--output", "results.parquet"]
    calls = [[*named, "--benchmarks", "nois/cifar10"], [*named, "--relations", "weight"]]
    calls += [[*call, "--dry-run"] for call in calls]
    program = (
        "import sys\n"
        "from hf_clipdyn.cli import main\n"
        f"for argv in {calls!r}:\n"
        "    try: main(argv)\n"
        "    except SystemExit as stop: assert stop.code == 2, argv\n"
        "    assert not {'accelerate', 'torch', 'transformers'} & set(sys.modules), argv"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Did you mean 'noise'?") == done.stderr.count("Did you mean 'weights'?") == 2


def test_options_are_taken_with_dashes_and_with_underscores(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both spellings come as far as the missing store; a misspelt one does not."""
    for option in ("--data-dir", "--data_dir"):
        code, error = _exit(
            capsys, "evaluate", "me/run", option, "cifar10=x", "--store", str(tmp_path / "none")
        )
        assert code == 2
        assert "no option" not in error
    _, error = _exit(capsys, "evaluate", "me/run", "--data-dri", "cifar10=x")
    assert "There is no option 'data_dri'. Did you mean 'data_dir'?" in error


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = _exit(capsys, "trian")
    assert code == 2
    assert "trian" in error


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["train", "--config", "nonsense"], 2, "no recipe 'nonsense'"),
        (["train", "--scale"], 2, "scale"),
        (["report", "nowhere.parquet", "--output", "x"], 2, "nowhere.parquet"),
        (["report", "nowhere.parquet", "--print", "numbers"], 2, "nowhere.parquet"),
        (["revisions", "me/none", "--store", "/nowhere"], 2, "/nowhere"),
        (["evaluate", "me/none", "--store", "/nowhere", "--suite", "embeded"], 2, "embedded"),
        (
            ["evaluate", "me/none", "--store", "/nowhere", "--benchmarks", "shape_bais/procedural"],
            2,
            "shape_bias",
        ),
        (["verify", "me/none", "--store", "/nowhere"], 2, "/nowhere"),
        (["prepare", "tid2031", "--output", "x"], 2, "tid2013"),
    ],
)
def test_a_wrong_call_is_one_sentence_without_a_traceback(argv: list[str], code: int, says: str) -> None:
    done = forked.run([sys.executable, "-m", "hf_clipdyn.cli", *argv])
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("clipdyn: error: ")


@pytest.mark.parametrize("command", ["demo", "evaluate", "import", "prepare", "repair", "train"])
def test_every_command_that_shows_its_work_can_be_quiet(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help-all" if command in ("evaluate", "train") else "--help"])
    assert "--quiet" in capsys.readouterr().out


def test_without_a_terminal_prepare_prints_its_result_and_no_bar(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(images / f"{number}.png")
    (images / "metadata.csv").write_text("file_name,text\n0.png,a\n1.png,b\n2.png,c\n")
    for flags in ([], ["--quiet"]):
        output = tmp_path / f"out{len(flags)}"
        command = [
            sys.executable,
            "-m",
            "hf_clipdyn.cli",
            "prepare",
            "imagefolder",
            "--data-dir",
            f"imagefolder={images}",
        ]
        command += ["--output", str(output), *flags]
        done = forked.run(command)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{output}: train 3 rows.")


def test_what_is_made_of_a_run_alone_is_written_into_its_folder(tmp_path: Path) -> None:
    assert command_class("report").read([str(tmp_path)]).output == tmp_path / "report"
    assert command_class("share").read([str(tmp_path)]).output == tmp_path / "share"
    assert command_class("report").read([str(tmp_path), "--print", "numbers"]).output is None
    assert command_class("share").read([str(tmp_path), "--push-to-hub"]).output is None
    with pytest.raises(ConfigError, match="--output is missing"):
        command_class("report").read([str(tmp_path), str(tmp_path)])
