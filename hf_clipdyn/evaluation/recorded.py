"""What training recorded of a revision, as rows beside what is measured of it: did it learn?

The values come from the manifest of the run, or from the log of a Trainer's checkpoint. No model runs.
"""

from hashlib import sha256

from hf_clipdyn.benchmarks.kind import term, words
from hf_clipdyn.evaluation.plan import plain_cell
from hf_clipdyn.evaluation.score import rows_of
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import DatasetTerms, Vocabulary
from hf_clipdyn.revisions import Revision

KIND, DATASET = "training", "log"
TERMS = words(
    "Training",
    0,
    term(
        "loss",
        "training loss",
        "Mean loss of the epoch that the revision ends. A revision inside an epoch has the loss of its step, and one "
        "of a Trainer the loss that the Trainer logged last.",
        better="low",
    ),
    term(
        "validation_loss",
        "validation loss",
        "Loss on the images that are held out of training.",
        better="low",
    ),
    term("learning_rate", "learning rate", "Learning rate of the revision's last step."),
    term("logit_scale", "logit scale", "Factor of the cosines in the loss, the inverse of the temperature."),
    term("samples_seen", "samples seen", "Images shown in training, repetitions counted.", unit="images"),
    question="Did it learn?",
    draws="what training recorded",
)
_VOCABULARY = Vocabulary(kinds={KIND: TERMS}, datasets={DATASET: DatasetTerms(title="training log")})
_FINGERPRINT = sha256(b"training log").hexdigest()  # of all revisions, which are one trajectory


def write_recorded(
    repo_id: str, revision: Revision, store: CellStore, began: str, *, force: bool = False
) -> None:
    """Write the rows of a revision, if training recorded anything and they are not there yet.

    Args:
        repo_id: name of the run in the table.
        revision: with what was recorded.
        store: of the output.
        began: when the run began.
        force: whether they are written again.
    """
    values = {name: value for name in TERMS.terms if (value := getattr(revision, name)) is not None}
    if not values.keys() - {"samples_seen"}:  # they alone say nothing of learning
        return
    cell = plain_cell(
        repo_id, revision, KIND, DATASET, split="train", data_fingerprint=_FINGERPRINT, seconds=0.0
    )
    if cell.key in store.keys() and not force:  # noqa: SIM118  (no mapping)
        return
    numbers = [
        Number(metric=name, value=float(value), probe="", note="recorded in training")
        for name, value in values.items()
    ]
    store.write(cell, rows_of(cell, TERMS, numbers, 0.95), None, _VOCABULARY, began, is_new=True)
