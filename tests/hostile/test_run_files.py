"""Files of a run and of a store that were cut short, edited, or made to do harm: each is one sentence.

Names and commits in them become paths, numbers become loops, and texts are printed.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile.harness import SECRET, Outcome, Victim
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from stores import publish_epochs

from hf_clipdyn.cards import CardFacts
from hf_clipdyn.errors import ConfigError, PublishError, RevisionError
from hf_clipdyn.revisions.journal import Entry, Journal, RunFacts
from hf_clipdyn.revisions.local import LocalStore
from hf_clipdyn.revisions.manifest import Manifest, ManifestRow
from hf_clipdyn.revisions.names import checked_ref
from hf_clipdyn.schema import parse_json
from hf_clipdyn.training.checkpoint import Progress

HASH = "ab" * 32
COMMIT = "c0" * 20
ROW: dict[str, Any] = {
    "name": "epoch-000",
    "epoch": 0,
    "step": 0,
    "samples_seen": 0,
    "sha256": HASH,
    "size": 10,
    "loss": None,
    "time": "2026-01-01T00:00:00+00:00",
    "recipe_hash": "r",
    "versions": {},
}
RUN: dict[str, Any] = {
    "repo_id": "me/run",
    "run_id": "f" * 32,
    "recipe_hash": "r",
    "store": "hub",
    "push_to_hub": False,
    "private": False,
    "card": {"repo_id": "me/run"},
}
PROGRESS: dict[str, Any] = {
    "epoch": 1,
    "step": 5,
    "samples_seen": 50,
    "num_processes": 1,
    "steps_per_epoch": 5,
    "recipe": {"seed": 0},
    "global_batch_size": 10,
    "files": {},
}
DEEP = "[" * 100_000 + "]" * 100_000

# What a text that becomes a folder's name must not be.
PATHS = [
    "../../../victim",
    "/etc",
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "a\nb",
    "x" * 5000,
    "\0",
    "-rf",
    "épo",
    "main",
]
NO_COUNTS = ["one", -1, 1.5, True, [], {}, 10**30, "1"]


# --- schemas, field by field --------------------------------------------------------------------------

NO_ROWS: list[tuple[str, Any, str]] = [
    *(("name", name, "the name of a revision") for name in PATHS),
    ("sha256", "../../v", "SHA-256"),
    ("step", 10**30, "step is"),
    ("loss", float("nan"), "NaN is not a number"),
    ("recipe_hash", "x" * 200_000, "at most"),
]


@pytest.mark.parametrize(("field", "value", "said"), NO_ROWS)
def test_a_row_of_the_manifest_with_a_wrong_field_is_one_sentence(field: str, value: Any, said: str) -> None:
    content = {"format_version": 1, "run_id": "f", "revisions": [{**ROW, field: value}]}
    with pytest.raises(RevisionError, match=rf"^revisions\.json of me/run cannot be read: .*{said}") as found:
        Manifest.loads(json.dumps(content), where="me/run")
    assert len(str(found.value)) < 400
    assert "\n" not in str(found.value)


NO_MANIFESTS: list[tuple[str | bytes, str]] = [
    (b"\xff\xfe\x00binary", "UTF-8"),
    (DEEP, "nested too deeply"),
    ('{"format_version": ' + "9" * 10_000 + "}", "not JSON"),
    ('{"format_version": 2}', "update hf-clipdyn"),
    (json.dumps({"format_version": 1, "run_id": "f", "revisions": [ROW, ROW]}), "more than one row"),
    (json.dumps({"format_version": 1, "run_id": "f", "revisions": [0] * 200_001}), "at most 200,000 items"),
]


@pytest.mark.parametrize(("text", "said"), NO_MANIFESTS, ids=range(len(NO_MANIFESTS)))
def test_what_is_no_manifest_is_one_sentence(text: str | bytes, said: str) -> None:
    with pytest.raises(RevisionError, match=said) as found:
        Manifest.loads(text, where="me/run")
    assert len(str(found.value)) < 400


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(({"row": {**ROW, "name": name}}, "the name of a revision") for name in PATHS),
        ({"published": {"store": "../../../victim"}}, "a commit"),
        ({"published": {"store": "/etc"}}, "a commit"),
        ({"published": {"../x": COMMIT}}, "a target"),
    ],
)
def test_an_entry_of_the_journal_that_leads_elsewhere_is_one_sentence(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (tmp_path / "entries").mkdir()
    content = {"row": ROW, "published": {}} | change
    (tmp_path / "entries" / "epoch-000.json").write_text(json.dumps(content))
    with pytest.raises(PublishError, match=rf"epoch-000\.json .*{said}"):
        Journal(tmp_path).entries()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(
            ({"repo_id": name}, "a repository's id")
            for name in ("../../evil", "a b/c", "", "a/b/c", "me/run\n")
        ),
        ({"store": "../../../victim"}, "a folder inside the run's"),
        ({"store": "hub/../../x"}, "a folder inside the run's"),
        ({"store": ""}, "a folder inside the run's"),
        ({"store": "a\0b"}, "a folder inside the run's"),
        ({"store": "/nowhere/at/all"}, "which does not contain me/run"),
        ({"card": {"repo_id": "me/run", "recipe": {"x": json.loads("[" * 200 + "]" * 200)}}}, "levels deep"),
    ],
)
def test_a_journal_of_a_run_with_a_wrong_field_is_one_sentence(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN | change))
    with pytest.raises(PublishError, match=rf"run\.json .*{said}"):
        Journal(tmp_path).required_run()


@pytest.mark.parametrize("folder", ["entries", "snapshots", "staging", "snapshots/epoch-003"])
def test_a_folder_of_the_journal_that_is_a_link_is_not_followed(
    tmp_path: Path, victim: Victim, folder: str
) -> None:
    journal = tmp_path / "journal"
    (journal / folder).parent.mkdir(parents=True)
    (journal / folder).symlink_to(victim.folder)
    with pytest.raises(PublishError, match=f"{folder} is a link"), Journal(journal).locked():
        pass


def test_the_staging_folder_of_a_store_that_is_a_link_is_removed_and_not_followed(
    tmp_path: Path, victim: Victim
) -> None:
    store = LocalStore(tmp_path / "hub", "me/run")
    store.folder.mkdir(parents=True)
    (store.folder / ".staging").symlink_to(victim.folder)
    store.check()
    store.clean()
    assert list(store.folder.iterdir()) == []


# --- refs ---------------------------------------------------------------------------------------------

NO_COMMITS = [
    b"",
    b"\n",
    b"/etc",
    b"../../../victim",
    bytes(range(128, 168)),
    b"\0" * 40,
    b"a" * 5000,
    b"a" * 39,
    b"a" * 41,
    b"G" * 40,
    COMMIT.upper().encode(),
    COMMIT.encode() + b" x",
    b"ref: refs/heads/main",
    "٣".encode() * 20,
    SECRET.encode(),
]


@pytest.mark.parametrize("content", NO_COMMITS, ids=range(len(NO_COMMITS)))
def test_a_ref_without_a_commit_is_one_sentence_that_keeps_its_content(
    tmp_path: Path, content: bytes
) -> None:
    refs = tmp_path / "models--me--run" / "refs"
    refs.mkdir(parents=True)
    (refs / "epoch-000").write_bytes(content)
    with pytest.raises(
        RevisionError, match=r"The ref epoch-000 of me/run in .* does not contain a commit"
    ) as found:
        LocalStore(tmp_path, "me/run").refs()
    assert SECRET not in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"files": {"../../../victim/secret.txt": {"size": 1, "blob_id": "x"}}}',
            "a path in the repository",
        ),
        ('{"files": {"/etc/passwd": {"size": 1, "blob_id": "x"}}}', "a path in the repository"),
    ],
)
def test_a_listing_that_is_none_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    store = LocalStore(tmp_path, "me/run")
    (store.folder / "trees").mkdir(parents=True)
    (store.folder / "trees" / f"{COMMIT}.json").write_text(text)
    with pytest.raises(RevisionError, match=said):
        store.absent_files(COMMIT)


# --- numbers ------------------------------------------------------------------------------------------


# --- any JSON at all ----------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _near(valid: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A valid content with a few of its fields replaced by anything."""
    return st.dictionaries(st.sampled_from(sorted(valid)), _JSON, max_size=3).map(
        lambda change: valid | change
    )


@given(
    st.one_of(
        st.tuples(st.just(ManifestRow), _near(ROW) | _JSON),
        st.tuples(st.just(RunFacts), _near(RUN) | _JSON),
        st.tuples(st.just(Progress), _near(PROGRESS) | _JSON),
        st.tuples(
            st.just(CardFacts), _near({"repo_id": "me/run", "recipe": {}, "tags": [], "source": None}) | _JSON
        ),
        st.tuples(st.just(Entry), _near({"row": ROW, "published": {"store": COMMIT}}) | _JSON),
    )
)
def test_any_json_is_a_checked_object_or_one_sentence(case: tuple[type, Any]) -> None:
    cls, content = case
    try:
        found = parse_json(cls, json.dumps(content), where="it", error=ConfigError)
    except ConfigError as error:
        said = str(error)
        assert said.startswith("it cannot be read: ")
        assert len(said) < 600
    else:
        assert isinstance(found, cls)


@given(st.dictionaries(st.sampled_from(sorted(ROW)), _JSON, max_size=2))
def test_a_manifest_that_was_read_is_written_as_it_was(change: dict[str, Any]) -> None:
    text = json.dumps({"format_version": 1, "run_id": "f", "revisions": [ROW | change]})
    try:
        manifest = Manifest.loads(text)
    except RevisionError:
        return
    assert Manifest.loads(manifest.dumps().encode()) == manifest


@given(st.text(max_size=40), st.binary(max_size=60))
def test_any_ref_is_a_safe_path_and_a_commit_or_one_sentence(name: str, content: bytes) -> None:
    try:
        found, commit = checked_ref(name, content, "me/run")
    except RevisionError:
        return
    assert not Path(found).is_absolute()
    assert ".." not in Path(found).parts
    assert len(commit) == 40


# --- the command line, over a real run ----------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, clipdyn: Callable[..., Outcome]) -> Path:
    """A run of three epochs in `work/run`, published to its store; the weights are a few numbers."""
    del clipdyn  # it makes the folder
    folder = tmp_path / "work" / "run"

    def save(epoch: int, into: Path) -> None:
        save_file({"w": np.full(4, epoch, np.float32)}, into / "model.safetensors")

    publish_epochs(folder, range(3), lambda epoch: partial(save, epoch))
    return folder


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _entry(run: Path, **changes: Any) -> None:
    _edit(run / "publishing" / "entries" / "epoch-000.json", **changes)


def _row(run: Path, **changes: Any) -> None:
    path = run / "publishing" / "entries" / "epoch-000.json"
    _edit(path, row=json.loads(path.read_text())["row"] | changes)


def _ref(run: Path, content: bytes, name: str = "epoch-000") -> None:
    (run / "hub" / "models--me--run" / "refs" / name).write_bytes(content)


def _manifest(run: Path, **changes: Any) -> None:
    """The manifest on main, as someone who edits a store would change it."""
    folder = run / "hub" / "models--me--run"
    path = folder / "snapshots" / (folder / "refs" / "main").read_text() / "revisions.json"
    content = json.loads(path.read_text())
    content["revisions"][0] |= changes
    path.resolve().write_text(json.dumps(content))


def test_the_name_of_an_entry_deletes_nothing_elsewhere(
    run: Path, clipdyn: Callable[..., Outcome], victim: Victim
) -> None:
    assert victim.folder.is_dir()
    _row(run, name="../../../victim")
    assert "the name of a revision" in clipdyn("repair", "run").sentence


def test_an_intact_run_is_whole(run: Path, clipdyn: Callable[..., Outcome]) -> None:
    outcome = clipdyn("verify", "me/run", "--store", run / "hub", "--deep")
    assert outcome.code == 0
    assert "3 revisions, 0 findings" in outcome.out


def test_an_absurd_step_is_found_in_no_time(run: Path, clipdyn: Callable[..., Outcome]) -> None:
    _manifest(run, epoch=10**15, step=10**15)
    outcome = clipdyn("verify", "me/run", "--store", run / "hub", seconds=20)
    outcome.assert_decent()
    assert outcome.code == 1
    assert outcome.out.count("  gap") == 100


@pytest.mark.slow
def test_a_manifest_of_100_000_rows_is_checked_in_half_a_minute(
    run: Path, clipdyn: Callable[..., Outcome]
) -> None:
    folder = run / "hub" / "models--me--run"
    path = folder / "snapshots" / (folder / "refs" / "main").read_text() / "revisions.json"
    content = json.loads(path.read_text())
    first = content["revisions"][0]
    content["revisions"] = [
        {**first, "name": f"step-{step:08d}", "epoch": None, "step": step, "sha256": f"{step:064x}"}
        for step in range(100_000)
    ]
    path.resolve().write_text(json.dumps(content))
    outcome = clipdyn("verify", "me/run", "--store", run / "hub", seconds=30)
    outcome.assert_decent()
    assert outcome.out.count("missing-branch\n") == 100_000


PUBLISHING: list[tuple[str, Callable[[Path], None], str]] = [
    ("a commit elsewhere", lambda run: _entry(run, published={"store": "../../../victim"}), "a commit"),
    ("no mapping", lambda run: _entry(run, published=[]), "a mapping"),
    ("an epoch in words", lambda run: _row(run, epoch="one"), "a whole number"),
    ("no hash", lambda run: _row(run, sha256=None), "a text"),
    (
        "a store elsewhere",
        lambda run: _edit(run / "publishing/run.json", store="../../victim"),
        "a folder inside",
    ),
    (
        "an absolute store",
        lambda run: _edit(run / "publishing/run.json", store="/tmp"),
        "does not contain me/run",
    ),
    (
        "an id elsewhere",
        lambda run: _edit(run / "publishing/run.json", repo_id="../../evil"),
        "a repository's id",
    ),
    ("depth", lambda run: (run / "publishing/run.json").write_text(DEEP) and None, "too deeply"),
    ("nothing", lambda run: (run / "publishing/run.json").write_text("") and None, "not JSON"),
    ("bytes", lambda run: (run / "publishing/run.json").write_bytes(b"\xff" * 99) and None, "UTF-8"),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"), [item[1:] for item in PUBLISHING], ids=[item[0] for item in PUBLISHING]
)
def test_a_journal_that_was_edited_is_one_sentence(
    run: Path, clipdyn: Callable[..., Outcome], change: Callable[[Path], None], said: str
) -> None:
    change(run)
    assert said in clipdyn("repair", "run").sentence


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify", "revisions", "evaluate"])
@pytest.mark.parametrize("content", NO_COMMITS[:4] + NO_COMMITS[6:7] + NO_COMMITS[-1:], ids=range(6))
def test_a_ref_without_a_commit_is_one_sentence_of_every_command(
    run: Path, clipdyn: Callable[..., Outcome], command: str, content: bytes
) -> None:
    _ref(run, content)
    assert "does not contain a commit" in clipdyn(command, "me/run", "--store", run / "hub").sentence


@pytest.mark.slow
def test_a_ref_that_is_a_link_does_not_tell_what_it_leads_to(
    run: Path, clipdyn: Callable[..., Outcome], victim: Victim
) -> None:
    ref = run / "hub" / "models--me--run" / "refs" / "epoch-000"
    ref.unlink()
    ref.symlink_to(victim.folder / "secret.txt")
    assert "does not contain a commit" in clipdyn("verify", "me/run", "--store", run / "hub").sentence


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify", "revisions", "evaluate"])
def test_a_store_without_a_revision_is_one_sentence_or_an_empty_table(
    run: Path, clipdyn: Callable[..., Outcome], command: str
) -> None:
    for path in (run / "hub" / "models--me--run" / "refs").iterdir():
        path.unlink()
    outcome = clipdyn(command, "me/run", "--store", run / "hub")
    outcome.assert_decent()
    if command == "evaluate":
        assert "me/run has no revisions" in outcome.sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"epoch": "one"}, "unreadable-manifest"),
        ({"sha256": None}, "unreadable-manifest"),
        ({"name": "../../v"}, "unreadable-manifest"),
        ({"sha256": ""}, "wrong-row"),
        ({"size": 0}, "wrong-row"),
    ],
)
def test_a_manifest_that_was_edited_is_a_finding(
    run: Path, clipdyn: Callable[..., Outcome], changes: dict[str, Any], kind: str
) -> None:
    _manifest(run, **changes)
    outcome = clipdyn("verify", "me/run", "--store", run / "hub")
    outcome.assert_decent()
    assert outcome.code == 1
    assert kind in outcome.out


@pytest.mark.slow
def test_a_listing_that_was_cut_is_a_finding(run: Path, clipdyn: Callable[..., Outcome]) -> None:
    for path in (run / "hub" / "models--me--run" / "trees").iterdir():
        path.write_bytes(path.read_bytes()[:20])
    outcome = clipdyn("verify", "me/run", "--store", run / "hub")
    outcome.assert_decent()
    assert outcome.out.count("  unreadable-listing\n") == 3
    assert "3 revisions, 3 findings: 3 unreadable-listing" in outcome.out
