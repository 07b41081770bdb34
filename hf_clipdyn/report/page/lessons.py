"""What a run was shown just before it learned an image: the training images whose embeddings are nearest.

An image counts as learned at the first revision that answers it correctly. The images that training showed between this
revision and the previous one are known from `data_order.json`; the last of them are embedded by this revision. Being
near does not mean that they taught the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.base import unit
from hf_clipdyn.benchmarks.gallery import Gallery
from hf_clipdyn.benchmarks.relations.learning_order import LearningOrder
from hf_clipdyn.data.load import find_locally, load_dataset
from hf_clipdyn.data.registry import builder_class
from hf_clipdyn.errors import ClipDynError, RevisionError, UnknownNameError
from hf_clipdyn.evaluation.answers import LoadedRevisions, measured_revisions
from hf_clipdyn.preprocess import resize_and_crop
from hf_clipdyn.report.answers import Related, RunAnswers, related_numbers, run_answers
from hf_clipdyn.report.charts.items import learning_of
from hf_clipdyn.report.page.sheets import data_uri, small
from hf_clipdyn.report.page.stimuli import StimuliChoice, forbidden
from hf_clipdyn.report.page.views import gallery_cells, local_source, read_gallery
from hf_clipdyn.report.plan import evenly
from hf_clipdyn.report.study import Study
from hf_clipdyn.revisions.listing import open_measured
from hf_clipdyn.revisions.names import Series
from hf_clipdyn.training.order import DataOrder, read_order, shown_between

__all__ = ["nearest", "payload"]

_MOST_ITEMS = 24  # of a benchmark
_MOST_SHOWN = 512  # training images that are embedded for a revision: the last ones before it
_NEAREST = 4


def payload(
    study: Study,
    *,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    store: str | Path | None = None,
) -> dict[str, Any] | None:
    """The lessons of the first run by benchmark of the learning order, for JSON.

    Returns:
        None without a learning order. Else by benchmark ``why`` there are none, or ``run``, ``compared`` (images of
        training at most) and by item ``items``: ``revision``, ``before`` (the previous one), ``pictures`` and
        ``similar`` (cosines), most similar first.
    """
    parts: dict[str, dict[str, Any]] = {}
    training: dict[str, _Training] = {}
    for related, numbers in related_numbers(study, LearningOrder, "learned", 1).items():
        for run, answers in run_answers(study, related, numbers, 1).items():
            try:
                if run not in training:
                    training[run] = _Training.of(study, run, stimuli, data_dirs or {}, store)
                pictures = _Pictures.of(study, related, run, stimuli, data_dirs or {})
                items = _items(next(iter(answers.values())), pictures, training[run])
                parts[related.name] = {"run": run, "compared": _MOST_SHOWN, "items": items}
            except ClipDynError as error:
                parts[related.name] = {"why": str(error)}
    return parts or None


def nearest(
    items: NDArray[np.floating], others: NDArray[np.floating], most: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each vector (n, d) the places of the most similar ones among (m, d), and their cosines, (n, most) each."""
    cosines = unit(items) @ unit(others).T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :most]
    return places, np.take_along_axis(cosines, places, axis=1)


def _items(answers: RunAnswers, pictures: "_Pictures", training: "_Training") -> dict[str, dict[str, Any]]:
    """The lessons of some images of the chart, evenly chosen among those that are learned, from early to late."""
    learning = learning_of(answers)
    first = (learning.states > 0).argmax(axis=1)  # 0: never, or by the initialisation, which learned nothing
    learned = np.flatnonzero(first)
    if not len(learned):
        return {}
    chosen = learned[np.argsort(first[learned], kind="stable")][evenly(len(learned), _MOST_ITEMS)]
    lessons = {}
    for at in np.unique(first[chosen]):
        before, revision = answers.revisions[at - 1 : at + 1]
        items = learning.item[chosen[first[chosen] == at]].tolist()
        images, vectors = training.shown(before, revision)
        own = training.embedded(revision, [pictures.of_item(item) for item in items])
        for item, places, cosines in zip(items, *nearest(own, vectors, _NEAREST), strict=True):
            lessons[str(item)] = {
                "revision": revision,
                "before": before,
                "pictures": [data_uri(small(images[place].copy())) for place in places],
                "similar": [round(float(cosine), 3) for cosine in cosines],
            }
    return lessons


@dataclass(frozen=True, eq=False)
class _Training:
    """The training images of a run and its models; what was shown before a revision is embedded once."""

    dataset: Any
    series: Series
    models: LoadedRevisions
    known: dict[tuple[str, str], tuple[list[Image.Image], NDArray[np.floating]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        study: Study,
        run: str,
        stimuli: StimuliChoice,
        data_dirs: Mapping[str, str | Path],
        store: str | Path | None,
    ) -> "_Training":
        """Open them; a ClipDynError says what is missing."""
        repo_id = str(study.cells.loc[study.cells["run"] == run, "repo_id"].iloc[0])
        series = open_measured(repo_id, study.results.tables, store)
        models = measured_revisions(study.results, repo_id, store=store)
        order = read_order(series, models.by_name[models.names[-1]])
        return cls(_dataset(order, stimuli, data_dirs), series, models)

    def shown(self, before: str, revision: str) -> tuple[list[Image.Image], NDArray[np.floating]]:
        """The last images that were shown between two revisions, and their embeddings by the second one."""
        if (before, revision) not in self.known:
            _, parts = shown_between(self.series, before, revision)
            rows = np.concatenate([part.rows.ravel() for part in parts])
            last = self.dataset.select(np.unique(rows[-_MOST_SHOWN:]))
            images = [image.convert("RGB") for image in last["image"]]
            self.known[before, revision] = images, self.embedded(revision, images)
        return self.known[before, revision]

    def embedded(self, revision: str, images: Sequence[Image.Image]) -> NDArray[np.floating]:
        """(n, d) embeddings by a revision."""
        with self.models.encoder(revision) as encoder:
            return encoder.embed_images(resize_and_crop(encoder.image_processor, images)).projection


@dataclass(frozen=True, eq=False)
class _Pictures:
    """The images of a benchmark."""

    dataset: Any
    gallery: Gallery

    @classmethod
    def of(
        cls,
        study: Study,
        related: Related,
        run: str,
        stimuli: StimuliChoice,
        data_dirs: Mapping[str, str | Path],
    ) -> "_Pictures":
        """Open them; a ClipDynError says what is missing."""
        folder = _folder(related.dataset, data_dirs)
        gallery = _gallery(study, related, run)
        source = local_source(related.dataset, related.kind.schemas, folder)
        if gallery is None or source is None:
            raise RevisionError("The images of this benchmark are not on this machine.")
        if why := forbidden(source.metadata, stimuli):
            raise RevisionError(why)
        return cls(source.dataset, gallery)

    def of_item(self, item: int) -> Image.Image:
        """The first picture of an item."""
        picture = self.gallery.pictures[0]
        row = item if picture.rows is None else int(picture.rows[item])
        image: Image.Image = self.dataset[row][picture.column]
        return image.convert("RGB")


def _folder(dataset: str, data_dirs: Mapping[str, str | Path]) -> Path | None:
    return Path(data_dirs[dataset]) if dataset in data_dirs else find_locally(dataset)


def _gallery(study: Study, related: Related, run: str) -> Gallery | None:
    """What the trials of a revision say of the stimuli; None where the kind does not tell them."""
    for kind, cells in gallery_cells(study):
        own = cells[(cells["run"] == run) & (cells["dataset"] == related.dataset)]
        if kind is related.kind and len(own):
            return read_gallery(study, kind, next(own.itertuples(index=False)))
    return None


def _dataset(order: DataOrder, stimuli: StimuliChoice, data_dirs: Mapping[str, str | Path]) -> Any:
    """The training data, if they may be shown and are on this machine."""
    data = order.dataset
    try:
        builder = builder_class(data.name)
    except UnknownNameError as error:
        raise RevisionError(
            "The training images are not of a data set whose licence is known here."
        ) from error
    if why := forbidden(builder.metadata, stimuli):
        raise RevisionError(why)
    folder = _folder(data.name, data_dirs)
    if order.streams is not None or (folder is None and (builder.layout or not builder.metadata.synthetic)):
        raise RevisionError(f"The training images of {builder.metadata.title} are not on this machine.")
    dataset = load_dataset(data.name, data.config, data_dir=folder, split=data.split)
    if len(dataset) < (data.rows or 0):
        raise RevisionError(
            f"{builder.metadata.title} has {len(dataset):,} rows here, and had {data.rows:,} in training."
        )
    return dataset
