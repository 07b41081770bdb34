"""Results of the last revision as `.eval_results/*.yaml` in the repository, for the leaderboards of the Hub."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hub_server.faults import Fault
from huggingface_hub import EvalResultEntry, HfApi, ModelCard, parse_eval_result_entries
from result_rows import VOCABULARY, row

from hf_clipdyn.errors import ConfigError, PublishError
from hf_clipdyn.report import push_cards, write_cards

_TASKS = "name: CIFAR-10\nevaluation_framework: hf-clipdyn\ntasks:\n- id: top1\n  config: plain_text\n  split: test\n"
_PATH = ".eval_results/hf-clipdyn--zero_shot--cifar10.yaml"


def _rows(**more):
    values = {"epoch-000": 0.1, "epoch-001": 0.5, "epoch-002": 0.61234}
    return [
        row("zero_shot/cifar10", "top1", value, 0.02, revision=name, epoch=int(name[-1]), **more)
        for name, value in values.items()
    ]


@pytest.fixture
def dataset(hub) -> Callable[..., None]:
    """`dataset("uoft-cs/cifar10", eval_yaml)`: a data set on the Hub, with an `eval.yaml` if one is given."""

    def make(repo_id: str, declared: str | None = None) -> None:
        api = HfApi()
        api.create_repo(repo_id, repo_type="dataset", exist_ok=True)
        if declared is not None:
            api.upload_file(
                path_or_fileobj=declared.encode(),
                path_in_repo="eval.yaml",
                repo_id=repo_id,
                repo_type="dataset",
            )

    return make


@pytest.fixture
def model(hub):
    """The repository me/fixture on the Hub, without a card."""
    HfApi().create_repo("me/fixture")
    return hub.repo("me/fixture")


def _entries(path: str = _PATH) -> list[EvalResultEntry]:
    text = Path(HfApi().hf_hub_download("me/fixture", path)).read_text(encoding="utf-8")
    return parse_eval_result_entries(yaml.safe_load(text))


def test_the_last_revision_is_on_the_leaderboard_of_its_benchmark(write, dataset, model):
    dataset("uoft-cs/cifar10", _TASKS)
    dataset("me/results")
    (pushed,) = push_cards(write(_rows()), results_dataset="me/results")
    assert pushed.eval_results == (_PATH,)
    assert pushed.left_out == {}
    (entry,) = _entries()
    assert (entry.dataset_id, entry.task_id, entry.value) == ("uoft-cs/cifar10", "top1", 0.6123)
    assert entry.source_url == "https://huggingface.co/datasets/me/results"
    for part in ("revision epoch-002", "95 % interval 0.5923 to 0.6323", "n = 1,000", "zero-shot accuracy"):
        assert part in entry.notes
    again = push_cards(write(_rows()), results_dataset="me/results")
    assert again[0].url is None


def test_the_model_index_names_the_data_set_on_the_hub_the_revision_and_the_source(write, tmp_path):
    (path,) = write_cards(write(_rows()), tmp_path, results_dataset="me/results")
    (result,) = ModelCard.load(path).data.eval_results
    assert (result.dataset_type, result.dataset_name, result.dataset_split) == (
        "uoft-cs/cifar10",
        "CIFAR-10",
        "test",
    )
    assert (result.metric_type, result.metric_value, result.verified) == ("top1", 0.6123, False)
    assert result.metric_name == "zero-shot accuracy, epoch-002"
    assert result.metric_args == {
        "measured_by": "hf-clipdyn",
        "revision": "epoch-002",
        "n": 1000,
        "interval": [0.5923, 0.6323],
        "confidence_level": 0.95,
    }
    assert result.source_url == "https://huggingface.co/datasets/me/results"


def test_only_the_last_revision_counts(write, tmp_path):
    rows = [*_rows(), row("noise/cifar10", "area", 0.3, epoch=1)]
    rows += [row("shape_bias/cue_conflict", "shape_bias", 0.4, epoch=2, interpretable=False)]
    (path,) = write_cards(write(rows), tmp_path)
    assert [one.metric_type for one in ModelCard.load(path).data.eval_results] == ["top1"]


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (None, "uoft-cs/cifar10 is not a benchmark on the Hub (it has no eval.yaml)"),
        ("tasks: [", "the eval.yaml of uoft-cs/cifar10 cannot be read"),
        ("tasks: 3", "the eval.yaml of uoft-cs/cifar10 cannot be read"),
        ("- a list", "the eval.yaml of uoft-cs/cifar10 cannot be read"),
        ("tasks: [{id: a}, {id: b}]", "no task of uoft-cs/cifar10 is called top1"),
        ("tasks: [{id: top1, split: train}]", "no task of uoft-cs/cifar10 uses the split 'test'"),
    ],
)
def test_what_has_no_leaderboard_is_left_out_with_the_cause(write, dataset, model, declared, said):
    dataset("uoft-cs/cifar10", declared)
    (pushed,) = push_cards(write(_rows()))
    assert pushed.left_out == {"zero_shot/cifar10": said}
    assert not [path for path in HfApi().list_repo_files("me/fixture") if path.startswith(".eval_results")]


def test_data_sets_that_are_not_on_the_hub_are_left_out(write, model):
    rows = [*_rows(), row("shape_bias/procedural", "shape_bias", 0.4, epoch=2)]
    rows += [
        row("similarity/nights", "two_afc", 0.9, epoch=2),
        row("zero_shot/their_plugin", "top1", 0.9, epoch=2),
    ]
    (pushed,) = push_cards(write(rows))
    assert pushed.left_out == {
        "shape_bias/procedural": "its data set is not on the Hub",
        "zero_shot/cifar10": "uoft-cs/cifar10 is not on the Hub",
        "zero_shot/their_plugin": "its data set is not on the Hub",
        "similarity/nights": "its data set is not on the Hub",
    }


def test_a_single_task_takes_the_number_of_the_hubs_own_task(write, dataset, model):
    dataset("uoft-cs/cifar10", "tasks:\n- id: cifar10\n")
    rows = [*_rows(), row("noise/cifar10", "area", 0.3, epoch=2)]
    (pushed,) = push_cards(write(rows))
    assert pushed.eval_results == (_PATH,)
    assert pushed.left_out == {"noise/cifar10": "no task of uoft-cs/cifar10 is called area"}
    assert [(one.task_id, one.value) for one in _entries()] == [("cifar10", 0.6123)]


def test_a_file_of_others_stays_and_an_earlier_one_of_ours_goes(write, dataset, model):
    dataset("uoft-cs/cifar10", _TASKS)
    api = HfApi()
    api.upload_file(path_or_fileobj=b"- x\n", path_in_repo=".eval_results/mine.yaml", repo_id="me/fixture")
    push_cards(write(_rows()))
    push_cards(write([row("noise/cifar10", "area", 0.3, epoch=2)], "later.parquet"))
    files = [path for path in api.list_repo_files("me/fixture") if path.startswith(".eval_results")]
    assert files == [".eval_results/mine.yaml"]


def test_the_data_set_of_results_must_exist(write, model):
    results = write(_rows())
    with pytest.raises(
        ConfigError, match="There is no data set me/nowhere on the Hub, or you have no access"
    ):
        push_cards(results, results_dataset="me/nowhere")
    with pytest.raises(ConfigError, match="results_dataset 'results' has no owner"):
        push_cards(results, results_dataset="results")
    assert HfApi().list_repo_files("me/fixture") == [".gitattributes"]


def test_nothing_is_pushed_while_the_leaderboards_cannot_be_asked(write, dataset, model, hub, patience):
    dataset("uoft-cs/cifar10", _TASKS)
    patience(0.1)
    hub.plant("info", Fault(503), times=10_000)
    with pytest.raises(PublishError, match="The card of me/fixture could not be pushed"):
        push_cards(write(_rows()))
    hub.faults.clear()
    assert HfApi().list_repo_files("me/fixture") == [".gitattributes"]


def test_a_hostile_kind_is_a_plain_file_name_and_a_plain_value(write, dataset, model):
    dataset("uoft-cs/cifar10", "tasks: [{id: top1}]")
    name = "../../x\n- dataset: {id: evil}"
    rows = [row("zero_shot/cifar10", "top1", 0.5, kind=name, condition="a: b\n---")]
    words = VOCABULARY.merged([VOCABULARY])
    words.kinds[name] = words.kinds["zero_shot"]  # type: ignore[index]
    push_cards(write(rows, vocabulary=words))
    (path,) = [path for path in HfApi().list_repo_files("me/fixture") if "eval_results" in path]
    assert path == ".eval_results/hf-clipdyn--..-..-x---dataset-id-evil---cifar10.yaml"
    (entry,) = _entries(path)
    assert entry.task_id == "top1"
