"""The first stage: what is selected, skipped, measured again, left out and refused."""

import pyarrow.parquet as pq
import pytest
from transformers import Siglip2Config, Siglip2ImageProcessor

from hf_clipdyn.data.prompts import CIFAR
from hf_clipdyn.errors import EvaluationError, RevisionNotFoundError, UnknownNameError
from hf_clipdyn.evaluation import evaluate_revisions
from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.evaluation.plan import Plan
from hf_clipdyn.revisions import list_revisions


def test_what_is_done_is_skipped_and_force_measures_it_again(evaluate, tmp_path, forward_passes):
    output = tmp_path / "results.parquet"
    first = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"])
    assert forward_passes["images"] == 20
    again = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"])
    assert forward_passes["images"] == 20
    assert again.equals(first)
    more = evaluate("zero_shot/cifar10", output=output)
    assert forward_passes["images"] == 60
    assert len(more) == 3 * len(first)
    forced = evaluate("zero_shot/cifar10", output=output, revisions=["epoch-000"], force=True)
    assert forward_passes["images"] == 80
    assert forced.drop(columns="seconds").equals(first.drop(columns="seconds"))
    assert len(pq.read_table(output)) == 3 * len(first)


def test_every_missing_data_set_is_named_before_the_first_forward_pass_and_can_be_skipped(
    evaluate, data, tmp_path, forward_passes
):
    empty = tmp_path / "empty"
    empty.mkdir()
    given = {"cifar10": data["cifar10"], "cue_conflict": empty, "flickr8k": tmp_path / "absent"}
    names = ("zero_shot/cifar10", "shape_bias/cue_conflict", "retrieval/flickr8k")
    with pytest.raises(EvaluationError) as caught:
        evaluate(*names, data_dirs=given)
    first, *lines = [line.split()[0] for line in str(caught.value).splitlines()[:3]]
    assert (first, lines) == ("2", list(names[1:]))
    assert forward_passes["images"] == 0
    table = evaluate(*names, data_dirs=given, skip_missing=True, revisions=["epoch-000"])
    assert set(table["dataset"]) == {"cifar10"}
    with pytest.raises(EvaluationError, match="No benchmark"):
        evaluate("shape_bias/cue_conflict", data_dirs={"cue_conflict": empty}, skip_missing=True)


def test_class_folders_give_the_numbers_of_their_loader_and_other_names_are_other_questions(
    evaluate, data, tmp_path
):
    prompts, names = tmp_path / "prompts.txt", tmp_path / "names.json"
    prompts.write_text("\n".join(CIFAR) + "\n")
    names.write_text('["thing one", "thing two"]')
    given = {"data_dirs": {"imagefolder": data["cifar10"]}, "revisions": ["epoch-001"], "templates": prompts}
    loaded = evaluate("zero_shot/cifar10", revisions=["epoch-001"])
    own = evaluate("zero_shot/imagefolder", **given)
    assert own["value"].tolist() == loaded["value"].tolist()
    assert own["data_fingerprint"].tolist() == loaded["data_fingerprint"].tolist()
    named = evaluate("zero_shot/imagefolder", label_names=names, **given)
    assert set(named["data_fingerprint"]).isdisjoint(own["data_fingerprint"])


def test_a_revision_or_a_run_that_is_not_there_is_refused_with_those_that_are(evaluate, store):
    with pytest.raises(UnknownNameError, match=r"epoch-003.*epoch-002"):
        evaluate("zero_shot/cifar10", revisions=["epoch-003"])
    with pytest.raises(RevisionNotFoundError, match="me/other"):
        evaluate_revisions("me/other", store=store / "hub")


def test_a_naflex_model_sees_squashed_images_and_its_cells_say_so(tmp_path, data, store):
    Siglip2Config().save_pretrained(tmp_path)
    Siglip2ImageProcessor(patch_size=8, max_num_patches=9).save_pretrained(tmp_path)
    config = EvaluationConfig(
        repo_id=store,
        benchmarks="zero_shot/cifar10",
        data_dirs={"cifar10": data["cifar10"]},
        cache_dir=tmp_path / "pixels",
    )
    cells = list(Plan(config).cells(list_revisions(store)[0], tmp_path))
    assert [one.cell.preprocess for one in cells] == ["squash"]
