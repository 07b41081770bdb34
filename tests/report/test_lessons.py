"""What training showed just before an image was learned: the nearest of the images that came before."""

from pathlib import Path

import numpy as np
import pytest

from hf_clipdyn import TrainingConfig, evaluate_revisions, samples_between, train
from hf_clipdyn.report.page import lessons
from hf_clipdyn.report.page.lessons import nearest, payload
from hf_clipdyn.report.page.write import render
from hf_clipdyn.report.study import read_study


def test_the_nearest_vectors_come_first_with_their_cosines() -> None:
    rng = np.random.default_rng(0)
    items, others = rng.normal(size=(5, 8)), rng.normal(size=(30, 8))
    places, cosines = nearest(items, others, 4)
    for vector, own, similar in zip(items, places, cosines, strict=True):
        every = others @ vector / np.linalg.norm(others, axis=1) / np.linalg.norm(vector)
        np.testing.assert_allclose(similar, np.sort(every)[::-1][:4])
        np.testing.assert_allclose(every[own], similar)
    assert nearest(items, others[:2], 4)[0].shape == (5, 2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of a run of two epochs in the embedded world."""
    run = tmp_path_factory.mktemp("lessons") / "run"
    train(
        TrainingConfig(
            scale="micro",
            dataset_config_name="captions_small",
            max_train_samples=1024,
            per_device_train_batch_size=64,
            num_train_epochs=2,
            output_dir=str(run),
            bf16=False,
            quiet=True,
        )
    )
    evaluate_revisions(str(run), benchmarks=["zero_shot/procedural"], output=run / "results.parquet")
    evaluate_revisions(str(run), relations=["learning_order"], output=run / "results.parquet")
    return run / "results.parquet"


@pytest.mark.slow
def test_lessons_are_images_that_the_run_showed_between_two_revisions(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    monkeypatch.setattr(lessons, "nearest", lambda *args: compared.append(args[1]) or nearest(*args))
    study = read_study(measured)
    parts = payload(study)
    assert parts is not None
    (part,) = parts.values()
    assert part["items"], part
    for lesson in part["items"].values():
        assert lesson["before"] < lesson["revision"]
        assert len(lesson["pictures"]) == 4
        assert lesson["similar"] == sorted(lesson["similar"], reverse=True)
    shown = next(samples_between(measured.parent, "epoch-000", "epoch-001")).rows
    assert all(len(vectors) == len(np.unique(shown.ravel()[-512:])) for vectors in compared)
    assert '"lessons"' in render(study, stimuli="none", lessons=parts)


@pytest.mark.slow
def test_what_may_not_be_shown_is_said(measured: Path) -> None:
    parts = payload(read_study(measured), stimuli="none")
    assert parts is not None
    assert [part["why"] for part in parts.values()] == [
        "The report was written without pictures (--stimuli none)."
    ]
