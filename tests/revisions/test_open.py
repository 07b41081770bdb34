"""What a name means: a folder, a run below ./runs, a kept store, a repository; and what is then listed and loaded."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hub_server.server import HubServer
from huggingface_hub import HfApi, constants, snapshot_download
from transformers import CLIPModel

from hf_clipdyn.errors import ConfigError, RevisionNotFoundError
from hf_clipdyn.models.snapshots import PROCESSOR_NAMES
from hf_clipdyn.revisions import list_revisions, load_revision, open_series
from hf_clipdyn.revisions.open import open_measured

KEPT = Path(__file__).parents[1] / "kept" / "store"


def test_a_run_is_its_folder_or_its_local_name_below_runs(
    tmp_path: Path, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(range(2), folder=tmp_path / "runs" / "demo", repo_id=None)
    monkeypatch.chdir(tmp_path)
    named = list_revisions("local/demo")
    assert [one.name for one in named] == ["epoch-000", "epoch-001"]
    for same in ("runs/demo", tmp_path / "runs" / "demo"):
        assert list_revisions(same) == list_revisions(same, store="elsewhere") == named
    in_study = tmp_path / "runs" / "study" / "demo"
    shutil.copytree(tmp_path / "runs" / "demo", in_study)
    with pytest.raises(ConfigError, match="runs/demo or runs/study/demo"):
        list_revisions("local/demo")
    shutil.rmtree(tmp_path / "runs" / "demo")
    assert list_revisions("local/demo") == named, "a run of a study is found"
    (in_study / "revisions" / "epoch-001" / "revisions.json").write_text("{")
    with pytest.raises(RevisionNotFoundError, match=r"no run local/none .*Runs are in runs/study/demo"):
        list_revisions("local/none")  # another run's broken manifest is nothing to this name


@pytest.mark.parametrize("offline", [False, True])
def test_a_mistyped_local_name_is_refused_with_the_runs_that_exist_and_never_asked_of_the_hub(
    tmp_path: Path, hub: HubServer, publish, monkeypatch: pytest.MonkeyPatch, clipdyn, offline: bool
) -> None:
    publish(range(1), folder=tmp_path / "runs" / "demo", repo_id=None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    for command in ("revisions", "verify", "evaluate"):
        code, _, error = clipdyn(command, "local/dmeo")
        assert (code, error.count("\n")) == (2, 1)
        assert "There is no run local/dmeo below ./runs. Runs are in runs/demo: give such a folder." in error
    assert not hub.seen


def test_without_a_network_the_cache_of_the_hubs_client_is_read(
    tmp_path: Path, suite: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for name in ("epoch-001", "main"):
        snapshot_download("me/run", revision=name, cache_dir=tmp_path / "cache")
    on_hub = list_revisions("me/run")
    suite.stop()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert list_revisions("me/run") == [on_hub[1], on_hub[3]], "two are there"
    expected = CLIPModel.from_pretrained(tmp_path / "revisions" / "epoch-001").state_dict()
    found = load_revision("me/run", "epoch-001").state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("downloaded", [["main"], [0, 2], ["main", 1]], ids=str)
def test_downloads_by_commit_have_their_names_offline_and_main_is_the_newest_that_is_there(
    tmp_path: Path, suite: HubServer, monkeypatch: pytest.MonkeyPatch, downloaded: list[str | int]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    on_hub = list_revisions("me/run")
    expected = [on_hub[one] if isinstance(one, int) else on_hub[3] for one in downloaded]
    for one in downloaded:
        commit = on_hub[one].commit if isinstance(one, int) else one
        snapshot_download("me/run", revision=commit, cache_dir=tmp_path / "cache")
    suite.stop()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert list_revisions("me/run") == sorted(expected, key=lambda one: one.name)
    newest = max(one.name for one in expected)
    weights = CLIPModel.from_pretrained(tmp_path / "revisions" / newest).state_dict()
    for loaded in (load_revision("me/run"), load_revision("me/run", newest)):
        assert all(torch.equal(loaded.state_dict()[name], value) for name, value in weights.items())
    with pytest.raises(RevisionNotFoundError, match="me/run has no revision 'epoch-007', but main, epoch-00"):
        load_revision("me/run", "epoch-007")


def test_a_cache_whose_downloads_have_no_names_says_so(
    tmp_path: Path, suite: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    commit = list_revisions("me/run")[1].commit
    for ignored in ("revisions.json", "model.safetensors"):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        snapshot_download("me/run", revision=commit, ignore_patterns=ignored, cache_dir=tmp_path / "cache")
        with monkeypatch.context() as offline:
            offline.setattr(constants, "HF_HUB_OFFLINE", True)
            with pytest.raises(
                RevisionNotFoundError, match=r"me/run in .*, or only commits that nothing names: "
            ):
                load_revision("me/run")


def test_a_store_of_version_0_3_comes_before_a_folder_of_that_name_and_is_named_where_it_is_meant(
    tmp_path: Path, trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(0)(tmp_path / "someone" / "whole")
    stored = list_revisions("someone/whole", KEPT / "whole" / "hub")
    assert [one.name for one in stored] == ["epoch-000", "step-00000002", "epoch-001"]
    assert [one.name for one in list_revisions("someone/whole", tmp_path)] == ["main"]
    for place in (KEPT / "whole", KEPT / "whole" / "hub"):
        with pytest.raises(ConfigError, match=r"read someone/whole .*--store .*whole/hub"):
            list_revisions(place)
    with pytest.raises(RevisionNotFoundError, match="There is no me/none in"):
        list_revisions("me/none", store=tmp_path)


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("notes.txt", "a Trainer's"),
        ("one/revisions/epoch-000/revisions.json", r"for example .*/one\."),
        ("checkpoints/epoch_3.pt", r"open_clip:MODEL@.*/checkpoints\."),
        ("epoch_3.pt", r"open_clip:MODEL@[^ ]*_3\."),
    ],
)
def test_a_folder_without_a_model_says_what_to_give_instead(tmp_path: Path, file: str, names: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    with pytest.raises(ConfigError, match=rf"contains no model\. .*{names}"):
        list_revisions(tmp_path)


def test_a_given_processor_is_that_of_revisions_that_have_none(
    tmp_path: Path, hub: HubServer, trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    trained(0)(tmp_path / "whole")
    trained(0)(tmp_path / "bare")
    HfApi().create_repo("me/processor")
    HfApi().upload_folder(repo_id="me/processor", folder_path=tmp_path / "whole")
    for name in PROCESSOR_NAMES:
        (tmp_path / "bare" / name).unlink(missing_ok=True)
    for processor in (tmp_path / "whole", "me/processor"):
        series = open_series(tmp_path / "bare", processor=processor)
        folder = series.fetch(*series.revisions())
        for path in (tmp_path / "whole").iterdir():
            assert (folder / path.name).read_bytes() == path.read_bytes()
    series = open_series(tmp_path / "whole", processor=tmp_path / "whole")
    assert series.fetch(*series.revisions()) == tmp_path / "whole", "its own comes first"
    with pytest.raises(ConfigError, match="bare contains no processor"):
        open_series(tmp_path / "whole", processor=tmp_path / "bare")


def test_a_measured_run_is_that_beside_its_table_or_in_the_folder_that_is_named(
    tmp_path: Path, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "runs/c"):
        publish(range(1), folder=tmp_path / name, repo_id=f"local/{Path(name).name}")
    tables = [Path("a/results.parquet"), Path("b/results.parquet")]
    found = {
        "beside": open_measured("local/b", tables),
        "elsewhere": open_measured("local/b", [Path("x.parquet")], store="a"),
        "below runs": open_measured("local/c", tables),
        "in a kept store": open_measured("someone/whole", tables, store=KEPT / "whole" / "hub"),
    }
    assert {place: series.repo_id for place, series in found.items()} == {
        "beside": "local/b",
        "elsewhere": "local/a",
        "below runs": "local/c",
        "in a kept store": "someone/whole",
    }


def test_load_revision_loads_by_folder_and_from_the_hub(
    tmp_path: Path, suite: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    expected = CLIPModel.from_pretrained(tmp_path / "revisions" / "epoch-000").state_dict()
    run = shutil.copytree(tmp_path / "revisions", tmp_path / "a@b" / "revisions").parent
    for first in (load_revision("me/run@epoch-000"), load_revision(run, "epoch-000", dtype=torch.float32)):
        assert all(torch.equal(first.state_dict()[name], value) for name, value in expected.items())
    newest = CLIPModel.from_pretrained(tmp_path / "revisions" / "epoch-003").logit_scale
    for model in (load_revision(tmp_path), load_revision("me/run"), load_revision(tmp_path, "epoch-003")):
        weight = model.text_projection.weight
        assert not torch.equal(weight, expected["text_projection.weight"])
        assert torch.equal(model.logit_scale, newest)
    with pytest.raises(
        RevisionNotFoundError, match="no revision 'epoch-009', but main, epoch-000, epoch-001"
    ):
        load_revision(tmp_path, "epoch-009")
    with pytest.raises(RevisionNotFoundError, match="me/none on the Hub does not exist"):
        list_revisions("me/none")


def test_the_command_prints_a_table_or_json(tmp_path: Path, publish, clipdyn) -> None:
    publish(range(2))
    code, printed, _ = clipdyn("revisions", tmp_path)
    assert code == 0
    head, first, second = printed.splitlines()
    assert head.split() == ["revision", "epoch", "step", "samples", "seen", "loss", "commit", "sha256"]
    listed = list_revisions(tmp_path)
    assert first.split() == ["epoch-000", "0", "0", "0", "-", listed[0].commit[:12], listed[0].sha256[:12]]
    assert second.split()[:5] == ["epoch-001", "1", "10", "40", "4.0000"]
    rows = json.loads(clipdyn("revisions", tmp_path, "--json")[1])
    assert [(row["name"], row["commit"], row["sha256"]) for row in rows] == [
        (one.name, one.commit, one.sha256) for one in listed
    ]
    code, _, error = clipdyn("revisions", "me/other", "--store", tmp_path)
    assert (code, "There is no me/other in" in error) == (2, True)
