"""What training recorded of a revision, as rows beside what is measured of it: did it learn?

The values come from the manifest of the run, or from the log of a Trainer's checkpoint. No model runs.
"""

from hashlib import sha256

from hf_clipdyn.evaluation.config import EvaluationConfig
from hf_clipdyn.results.cells import CellStore
from hf_clipdyn.results.row import Cell, Row
from hf_clipdyn.results.terms import DatasetTerms, KindTerms, Term, Vocabulary
from hf_clipdyn.revisions import Revision

KIND, DATASET = "training", "log"
TERMS = KindTerms(
    title="Training",
    question="Did it learn?",
    rank=0,
    draws="what training recorded",
    terms={
        "loss": Term(
            title="training loss",
            meaning="Mean loss of the epoch that the revision ends. A revision inside an epoch has the loss of its "
            "step, and one of a Trainer the loss that the Trainer logged last.",
            better="low",
        ),
        "validation_loss": Term(
            title="validation loss", meaning="Loss on the images that are held out of training.", better="low"
        ),
        "learning_rate": Term(title="learning rate", meaning="Learning rate of the revision's last step."),
        "logit_scale": Term(
            title="logit scale",
            meaning="Factor of the cosines in the loss, the inverse of the temperature.",
        ),
        "samples_seen": Term(
            title="samples seen", meaning="Images shown in training, repetitions counted.", unit="images"
        ),
    },
)
_VOCABULARY = Vocabulary(kinds={KIND: TERMS}, datasets={DATASET: DatasetTerms(title="training log")})
_FINGERPRINT = sha256(b"training log").hexdigest()  # of all revisions, which are one trajectory
_DECISIVE = ("loss", "validation_loss", "learning_rate", "logit_scale")  # a row needs one of them
_OF_REVISION = ("commit", "epoch", "step", "samples_seen", "scale", "seed", "arm", "parameters")


def write_recorded(config: EvaluationConfig, revision: Revision, store: CellStore, began: str) -> None:
    """Write the rows of a revision, if training recorded anything and they are not there yet.

    Args:
        config: names the run and the confidence level.
        revision: with what was recorded.
        store: of the output.
        began: when the run began.
    """
    values = {name: value for name in TERMS.terms if (value := getattr(revision, name)) is not None}
    if not values.keys() & set(_DECISIVE):
        return
    cell = Cell(
        repo_id=config.series.repo_id,
        revision=revision.name,
        **{name: getattr(revision, name) for name in _OF_REVISION},
        kind=KIND,
        dataset=DATASET,
        split="train",
        data_fingerprint=_FINGERPRINT,
        observe_version=1,
        score_version=1,
        preprocess="",
        dtype="float32",
        texts="own",
        seconds=0.0,
    )
    if cell.key in store.keys() and not config.force:  # noqa: SIM118  (no mapping)
        return
    rows = [
        Row(
            **vars(cell),
            metric=name,
            value=float(value),
            probe="",
            note="recorded in training",
            higher_is_better=TERMS.terms[name].higher_is_better,
        )
        for name, value in values.items()
    ]
    store.write(cell, rows, None, _VOCABULARY, began, is_new=True)
