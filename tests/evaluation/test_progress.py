"""What an evaluation says while it works."""

import re
from pathlib import Path

import pytest

from hf_clipdyn.evaluation import evaluate_revisions


@pytest.mark.filterwarnings("ignore::hf_clipdyn.data.base.SubsetWarning")
def test_without_a_terminal_each_revision_is_a_line_instead_of_a_bar(
    store: Path, data: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"store": store, "data_dirs": {"cifar10": data["cifar10"]}, "device": "cpu", "n_resamples": 0}
    evaluate_revisions("me/run", ["zero_shot/cifar10"], **settings)
    error = capsys.readouterr().err
    lines = re.findall(r"(?m)^(epoch-00\d) is evaluated: revision (\d)/3, cell \d/\d$", error)
    assert lines == [("epoch-000", "1"), ("epoch-001", "2"), ("epoch-002", "3")]
    assert "evaluating" not in error
    evaluate_revisions("me/run", ["zero_shot/cifar10"], show_progress=False, **settings)
    assert "evaluat" not in capsys.readouterr().err
