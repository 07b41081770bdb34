"""A study from one file: trained, killed, repeated, measured, judged and drawn; joined by a second file."""

import doctest
import json
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import forked
import pandas as pd
import pyarrow.parquet as pq
import pytest
from photographs import write_photographs
from planted import Planted, Run, ramp, write_study

from hf_clipdyn.bundled import study_names
from hf_clipdyn.errors import ConfigError, EvaluationError, TrainingError, TrainingInterrupted
from hf_clipdyn.results.provenance import PROVENANCE_KEY, Provenance, package
from hf_clipdyn.results.row import CELL_KEY, NUMBER_KEY
from hf_clipdyn.revisions import list_revisions
from hf_clipdyn.statistics.claims import EMBEDDED
from hf_clipdyn.study import Member, Study, run_study

# The second of two shards of a folder kills itself there: in its sixth step, and when one of its cells is measured.
DIES = """
import os, signal, sys
from pathlib import Path
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.training.callbacks import Callback

HERE = Path(__file__).parent
DIES = {"--shard=2/2", f"--output-dir={HERE / 'study'}"} <= set(sys.argv)

def die_once(where):
    if DIES and not (HERE / where).exists():
        (HERE / where).touch()
        os.kill(os.getpid(), signal.SIGKILL)

class Dies(Callback):
    def step_ends(self, training):
        if training.step == 6:
            die_once("in-training")

if DIES:
    write = CellStore.write
    def write_and_die(self, *args, **options):
        write(self, *args, **options)
        die_once("in-measuring")
    CellStore.write = write_and_die
"""

FILE = """
title: A study for a test
defaults: {{dataset_name: {photographs}, num_train_epochs: 2, per_device_train_batch_size: 24, warmup_steps: 2,
  bf16: false, plugin: {plugin}}}
runs:
  - {{seed: 10, evaluation: {{revisions: epoch-002}}}}
  - {{seed: 11}}
evaluation: {{benchmarks: [psychophysics/procedural, zero_shot/procedural], relations: error_consistency,
  revisions: [epoch-000, epoch-002]}}
"""


RUNS = ("tiny-seed10", "tiny-seed11")
Clipdyn = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Finished:
    """A study of two files.

    Attributes:
        root: with the files and the folder ``study``.
        codes: of the two shards at the same time, of which the second is killed in training; of the second shard, which
            is killed in measuring; and of the call without a shard.
        whole: folder of the same study in one process, never killed.
        said: output of the last call, of the second file.
    """

    root: Path
    codes: list[int | None]
    whole: Path
    said: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        return self.root / "study"

    @property
    def words(self) -> list[str]:
        return [str(self.root / "first.yaml"), f"--output-dir={self.folder}"]


def asked(folder: Path, text: str, **data_dirs: Path) -> Study:
    """The study of a file with this text."""
    (folder / "asked.yaml").write_text(text)
    return Study(folder / "asked.yaml", folder / "study", data_dirs)


def _start(*words: object) -> forked.Process:
    """`clipdyn study` in a process of its own."""
    return forked.start([sys.executable, "-m", "hf_clipdyn", "study", *map(str, words), "--quiet"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Seed 11 is killed twice and repeated; a second file then adds a published model and draws the page of both."""
    root = tmp_path_factory.mktemp("study")
    plugin = root / f"{root.name}.py"  # no two plug-ins of a process may share a name
    plugin.write_text(DIES)
    photographs = write_photographs(root / "photographs")
    (root / "first.yaml").write_text(FILE.format(photographs=photographs, plugin=plugin))
    words = [str(root / "first.yaml"), f"--output-dir={root / 'study'}"]
    shards = [_start(*words, f"--shard={part}/2") for part in (1, 2)]
    codes = [process.wait() for process in shards]
    codes += [_start(*words, *more).wait() for more in (["--shard=2/2"], [])]
    assert _start(words[0], f"--output-dir={root / 'whole'}").wait() == 0

    (root / "mine").symlink_to(root / "study" / "tiny-seed10" / "revisions" / "epoch-002")
    (root / "second.yaml").write_text(
        f"title: Two files\nmodels: [{{name: published, repo_id: {root / 'mine'}}}]\n"
        "evaluation: {benchmarks: psychophysics/procedural}\n"
    )
    second = [str(root / "second.yaml"), f"--output-dir={root / 'study'}", f"--claims={EMBEDDED}"]
    assert _start(*second, "--no-report").wait() == 0
    said = forked.run([sys.executable, "-m", "hf_clipdyn", "study", *second])
    return Finished(root, codes, root / "whole", said)


def test_two_shards_of_which_one_is_killed_twice_give_the_tables_of_one_process(finished: Finished) -> None:
    assert finished.codes == [0, -signal.SIGKILL, -signal.SIGKILL, 0]
    assert (finished.root / "in-training").exists()
    assert (finished.root / "in-measuring").exists()
    for name in RUNS:
        assert _weights(finished.folder / name) == _weights(finished.whole / name)
        _same(finished.folder / name / "results.parquet", finished.whole / name / "results.parquet")
    _same(finished.folder / "relations.parquet", finished.whole / "relations.parquet")


def _weights(run: Path) -> list[tuple[str, str | None]]:
    return [(one.name, one.sha256) for one in list_revisions(run)]


def _same(first: Path, second: Path) -> None:
    """The numbers are the same to the bit; commits also hold the time."""
    apart = ["commit", "text_commit", "other"]
    key = [one for one in (*CELL_KEY, *NUMBER_KEY) if one not in apart]
    tables = [pd.read_parquet(path).drop(columns=["seconds", "versions", *apart]) for path in (first, second)]
    assert len(tables[0])
    assert not any(table.duplicated(key).any() for table in tables)
    pd.testing.assert_frame_equal(*(table.set_index(key).sort_index() for table in tables))


def test_what_is_complete_is_not_started_again(finished: Finished, clipdyn: Clipdyn) -> None:
    code, out, error = clipdyn("study", *finished.words, "--no-report")
    assert (code, out, error) == (0, "", "Nothing is missing.\n")
    changed = finished.root / "changed.yaml"
    text = (finished.root / "first.yaml").read_text()
    changed.write_text(text.replace("revisions: epoch-002", "revisions: epoch-001"))
    members = Study(changed, finished.folder).members
    assert [one.lacks() for one in members] == ["not fully measured", ""]
    changed.write_text(text.replace("warmup_steps: 2", "warmup_steps: 3"))
    code, _, error = clipdyn("study", changed, finished.words[1])
    assert (code, "warmup_steps=2 there, 3 now" in error, error.count("\n")) == (2, True, 1), error


def test_a_member_that_fails_is_named_and_stops_no_other_one_and_a_signal_stops_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def complete(self: Member) -> None:
        begun.append(self.name)
        if self.name == "tiny-seed10":
            raise TrainingError("The loss is NaN.")

    def interrupted(self: Member) -> None:
        begun.append(self.name)
        raise TrainingInterrupted("Stopped.", signal.SIGTERM)

    monkeypatch.setattr(Member, "complete", complete)
    study = asked(tmp_path, "runs: [{seed: [10, 11, 12]}]\n")
    with pytest.raises(EvaluationError, match=r"tiny-seed10: The loss is NaN\."):
        study.run()
    assert begun == ["tiny-seed10", "tiny-seed11", "tiny-seed12"]
    begun.clear()
    study.run("2/2")
    assert begun == ["tiny-seed11"]
    begun.clear()
    monkeypatch.setattr(Member, "complete", interrupted)
    with pytest.raises(TrainingInterrupted):
        study.run()
    assert begun == ["tiny-seed10"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="one process"):
        study.run()


def test_the_beginning_prints_a_command_for_each_core_that_a_shell_reads(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "hf_clipdyn")
    monkeypatch.setattr("hf_clipdyn.study.usable_cores", lambda: 2)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(Member, "complete", lambda member: None)
    folder = tmp_path / "the study"
    words = ["clipdyn", "study", finished.words[0], "--output_dir", str(folder), "--shard"]
    Study(finished.root / "first.yaml", folder).run()
    printed = [shlex.split(line) for line in caplog.messages[0].splitlines()[-2:]]
    assert printed == [[*words, "1/2", "&"], [*words, "2/2", "&"]]


def test_the_example_of_run_study_runs_as_it_is_printed(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It judges no claims, and would write the tables of the study again.
    monkeypatch.chdir(shutil.copytree(finished.root, tmp_path / "copy", symlinks=True))
    Path("mine.yaml").write_text(Path("second.yaml").read_text())
    (example,) = doctest.DocTestFinder().find(run_study, "run_study", globs={})
    failed = StringIO()
    assert not doctest.DocTestRunner().run(example, out=failed.write).failed, failed.getvalue()


def test_a_run_overrides_options_of_the_evaluation(finished: Finished) -> None:
    measured = {
        path.parent.name: sorted(pd.read_parquet(path)["revision"].unique())
        for path in finished.folder.glob("*/results.parquet")
    }
    assert measured == {
        "tiny-seed10": ["epoch-002"],
        "tiny-seed11": ["epoch-000", "epoch-002"],
        "published": ["main"],
    }


def test_a_second_file_in_the_same_folder_joins_the_page_the_table_and_the_verdicts(
    finished: Finished,
) -> None:
    said = finished.said
    assert (said.returncode, said.stderr.count("\n")) == (0, 2)
    page = finished.folder / "report" / "index.html"
    assert said.stdout.splitlines()[-1] == f"Page:     {page}"
    runs = {"local/tiny-seed10", "local/tiny-seed11", "mine"}
    assert all(name in page.read_text(encoding="utf-8") for name in ("<h1>Two files <span>", *runs))
    assert list((finished.folder / "report" / "figures").glob("*.pdf"))
    rows = pd.read_parquet(finished.folder / "results.parquet")
    parts = [pd.read_parquet(path) for path in finished.folder.glob("*/results.parquet")]
    assert len(rows) == sum(map(len, parts))
    assert set(rows["repo_id"]) == runs
    verdicts = pd.read_parquet(finished.folder / "verdicts.parquet")
    assert len(set(verdicts["claim"])) == 5
    kept = [
        Provenance.loads(pq.read_metadata(finished.folder / name).metadata[PROVENANCE_KEY], name)
        for name in ("results.parquet", "verdicts.parquet")
    ]
    assert kept[0] == kept[1]
    assert (kept[0].package, kept[0].study, len(kept[0].claims)) == (package(), "embedded world", 64)
    began = {one.run: one.began for one in kept[0].runs}
    trained = list_revisions(finished.folder / "tiny-seed10")
    assert began["local/tiny-seed10"] == trained[0].time
    assert began["mine"] == "", "a model in a folder does not say when its run began"
    assert all(one.measured >= one.began for one in kept[0].runs)


def test_the_suite_of_dynamics_relates_the_runs_of_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is related with itself in its own table; what needs several runs comes with the page."""
    monkeypatch.setattr("hf_clipdyn.report.write_report", lambda study, folder, **_: folder)
    monkeypatch.setattr(Member, "lacks", lambda member: "")
    text = "runs: [{seed: [10, 11]}, {seed: 11, arm: noise}]\nevaluation: {suite: [embedded, dynamics]}\n"
    study = asked(tmp_path, text)
    assert all("error_consistency" in one.evaluations[0].related for one in study.members)
    for member in study.members:
        assert member.config is not None
        seed, arm = member.config.seed, member.config.arm or ""
        run = Run(scale="tiny", seed=seed, arm=arm, planted=Planted(accuracy=ramp(0.2, 0.9)))
        write_study(member.folder / "results.parquet", [run], shares=[0, 1])
    study.write()
    rows = pd.read_parquet(study.folder / "relations.parquet")
    assert {one["with"] for one in map(json.loads, rows["settings"])} == {"seeds", "runs"}
    kappa = rows[(rows["kind"] == "error_consistency-zero_shot") & (rows["metric"] == "kappa")]
    pairs = kappa.groupby("repo_id")["reference"].agg(set).to_dict()
    assert pairs == {
        "me/tiny-seed10": {"seeds", "seed 11", "arm noise"},
        "me/tiny-seed11": {"seeds", "seed 10"},
        "me/noise-tiny-seed11": {"arm main"},
    }
    tables = [one.folder / "results.parquet" for one in study.members]
    everything = pd.read_parquet(study.folder / "results.parquet")
    assert len(everything) == len(rows) + sum(len(pd.read_parquet(table)) for table in tables)


def test_further_evaluations_have_options_of_their_own_and_are_part_of_what_is_complete(
    tmp_path: Path,
) -> None:
    def member(also: str, **folders: Path) -> Member:
        text = "runs: [{seed: 10}]\nevaluation:\n  benchmarks: [psychophysics/procedural]\n  also:\n" + also
        return asked(tmp_path, text, **folders).members[0]

    one = member("  - {benchmarks: zero_shot/procedural, revisions: [epoch-000]}\n")
    first, second = one.evaluations
    selected = [[each.name for each in part.selected] for part in one.evaluations]
    assert selected == [["psychophysics/procedural"], ["zero_shot/procedural"]]
    assert (first.revisions, second.revisions) == (None, ("epoch-000",))
    assert first.output == second.output
    assert first.series.where == second.series.where
    other = member("  - {benchmarks: zero_shot/procedural, revisions: [epoch-001]}\n")
    assert one.mark != other.mark
    osie = tmp_path / "osie"
    one = member("  - {benchmarks: saliency/osie}\n", osie=osie)
    assert [dict(part.data_dirs) for part in one.evaluations] == [{}, {"osie": osie}]


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        ("title: x", [], "study.yaml: neither runs nor models are listed"),
        ("runs: [{}]\nmodel: 1", [], "There is no option 'model'. Did you mean 'models'?"),
        ("runs: [{sed: 1}]", [], "study.yaml: run 1: There is no option 'sed'."),
        ("runs: [{seed: [1, 1]}]", [], "tiny-seed1 is taken"),
        ("runs: [{name: ..}]", [], "name is '..'"),
        ("runs: [{name: report}]", [], "report is taken"),
        ("runs: [{output_dir: a}]", [], "run 1: output_dir is given"),
        ("runs: [{}]\nevaluation: {output: a.parquet}", [], "evaluation has output"),
        ("defaults: {hub_model_id: me/x}\nruns: [{seed: 0}, {seed: 1}]", [], "me/x is taken"),
        ("defaults: {overwrite_output_dir: true}\nruns: [{}]", [], "delete the folder of the run"),
        ("runs: [{}]", ["--shard=3/2"], "shard is '3/2'"),
        ("runs: [{}]", ["--claims=none.yaml"], "none.yaml"),
    ],
)
def test_a_wrong_study_is_refused_by_name_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clipdyn: Clipdyn, text: str, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(text)
    code, out, error = clipdyn("study", "study.yaml", *words)
    assert (code, out, error.count("\n")) == (2, "", 1), error
    assert says in error
    assert sorted(tmp_path.iterdir()) == [tmp_path / "study.yaml"]


def test_every_study_of_the_package_can_be_read() -> None:
    runs = {name: {one.name for one in Study(name).members} for name in study_names()}
    numbers = {name: len(runs[name]) for name in ("study", "study-arms", "study-quick")}
    assert numbers == {"study": 15, "study-arms": 33, "study-quick": 2}
    assert not runs["study"] & runs["study-arms"]
    assert Study("study").folder == Study("study-arms").folder


def test_each_run_overrides_the_defaults_and_has_a_name_a_folder_and_a_repository_of_its_own(
    tmp_path: Path,
) -> None:
    text = (
        "defaults: {learning_rate: 1e-3, hub_model_id: 'me/study-{name}', push_to_hub: true}\n"
        "runs:\n  - {seed: [10, 11], scale: small}\n  - {seed: 0, learning_rate: 5e-4, name: slow}\n"
        "  - {seed: 0, arm: noise}\n"
    )
    runs = asked(tmp_path, text).members
    assert [one.name for one in runs] == ["small-seed10", "small-seed11", "slow", "noise-tiny-seed0"]
    assert [one.folder for one in runs] == [tmp_path / "study" / one.name for one in runs]
    configs = [one.config for one in runs if one.config is not None]
    assert [(one.seed, one.learning_rate) for one in configs] == [
        (10, 1e-3), (11, 1e-3), (0, 5e-4), (0, 1e-3)
    ]  # fmt: skip
    assert [one.repository for one in configs] == [f"me/study-{one.name}" for one in runs]
    assert {one.resume_from_checkpoint for one in configs} == {"true"}
