"""What the page needs to try a run: its vision tower at every epoch, and a map of its embeddings.

The weights are rounded to eight bits; how often the rounded models choose as the exact ones do is measured here and
said on the page. Texts are embedded here, so the page knows those of the run's classes only.
"""

import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.filesize import decimal

from hf_clipdyn.benchmarks.classes import default_templates
from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.benchmarks.sources import Source, cues, local_source
from hf_clipdyn.benchmarks.vectors import similarity, unit
from hf_clipdyn.data.images import decode_image
from hf_clipdyn.data.prompts import prompt_name
from hf_clipdyn.errors import ConfigError
from hf_clipdyn.evaluation.answers import LoadedRevisions, measured_revisions, prompts
from hf_clipdyn.preprocess import processor_identity, resize_and_crop
from hf_clipdyn.report.courses import evenly
from hf_clipdyn.report.page.pictures import StimuliChoice
from hf_clipdyn.report.study import Study
from hf_clipdyn.report.tryit.tower import Tower, encoded

_log = logging.getLogger(__name__)

MOST_BYTES = 4_000_000
"""What the part may take in the page."""

_STIMULI = 240
_EXAMPLES = 8
_SIDE = 128  # pixels of an example
_MOST_CLASSES = 100
Floats = NDArray[np.float64]


def payload(
    study: Study,
    *,
    stimuli: StimuliChoice = "thumbnails",
    data_dirs: Mapping[str, str | Path] | None = None,
    store: str | Path | None = None,
) -> dict[str, Any] | None:
    """What the page needs to run the model, for JSON; None, with a warning, if the model is too large.

    Args:
        study: of one run, whose revisions are read at the commits that were measured.
        stimuli: ``none`` leaves out the examples.
        data_dirs: folders of data sets, by name.
        store: folder of the run. Default: the run beside the table, else the Hub.

    Returns:
        - ``revisions`` (names) and their ``stops`` of the slider, ``axis`` and ``places`` (of the revisions),
          ``leftOut`` (their number).
        - ``size``: of the tower; ``mean`` and ``deviation`` in grey levels; ``scales``: logit scales of the revisions.
        - ``codes`` and ``factors``: the tensors of each revision, see `Tower`.
        - ``classes``: ``name`` and ``text`` of each; ``texts``: unit vectors, (revisions, classes, d).
        - ``agreement``: in how many of ``asked`` answers the rounded models choose as the exact ones do.
        - ``examples``: ``title`` and ``uri`` of images; ``map``: see `_map`, and the class of each stimulus by cue.

    Raises:
        ConfigError: there are several runs, the model is not a CLIP, or no data set with class names is on this
            machine.
    """
    if len(study.runs) != 1:
        raise ConfigError(
            f"--try_it shows one run, but the tables have {len(study.runs)}: give the table of one."
        )
    model = measured_revisions(study.results, str(study.cells["repo_id"].iloc[0]), store=store)
    source = _source(study, data_dirs or {})
    rows = evenly(len(source.dataset), _STIMULI)
    classes, by_cue = _classes(source, rows)
    texts = prompts(classes, default_templates(source.metadata)[0])
    column = source.images[0]
    images = [decode_image(image) for image in source.dataset.select_columns([column])[rows][column]]
    names = _affordable(model)
    if not names:
        return None
    title, places = model.places
    read = _read(model, names, images, texts)
    may_show = stimuli != "none" and source.metadata.may_redistribute
    return {
        "revisions": names,
        "stops": [study.planner.stop_of(study.runs[0], name) for name in names],
        "axis": title,
        "places": [places[model.names.index(name)] for name in names],
        "leftOut": len(model.names) - len(names),
        "classes": [{"name": name, "text": text} for name, text in zip(classes, texts, strict=True)],
        "map": _map(read.pop("embeddings")) | {"cues": by_cue},
        "examples": _examples(images, classes, by_cue) if may_show else [],
        **read,
    }


def _source(study: Study, data_dirs: Mapping[str, str | Path]) -> Source:
    """The data set of the run's benchmarks whose images are shown: one with two cues, else one with labels."""
    known = [(kinds()[kind].schemas, dataset) for kind, dataset in study.measured if kind in kinds()]
    for schemas, name in sorted(known, key=lambda one: "cue_conflict" not in one[0]):
        folder = Path(data_dirs[name]) if name in data_dirs else None
        source = local_source(name, schemas, folder) if {"cue_conflict", "labels"} & set(schemas) else None
        if source is not None:
            return source
    raise ConfigError(
        "--try_it needs the class names of a benchmark, but no data set with labels is on this machine: name its "
        "folder with --data_dir NAME=PATH."
    )


def _classes(source: Source, rows: NDArray[np.int64]) -> tuple[list[str], dict[str, list[int]]]:
    """The names of the classes, and by cue the class of each of the rows."""
    names, by_cue = cues(source.dataset)
    if not 2 <= len(names) <= _MOST_CLASSES:
        raise ConfigError(
            f"--try_it shows from 2 to {_MOST_CLASSES} classes, but {source.name} has {len(names):,}."
        )
    places = {name: at for at, name in enumerate(names)}
    known = {cue: values for cue, values in by_cue.items() if set(values) <= set(names)}
    of_rows = {cue: [places[values[row]] for row in rows] for cue, values in known.items()}
    return [prompt_name(name) for name in names], of_rows


def _affordable(model: LoadedRevisions) -> list[str]:
    """Names of the revisions that fit, evenly spaced; none if not even two do."""
    with model.encoder(model.names[-1]) as encoder:
        tower = Tower.of(encoder)
    size = len(tower.codes) + len(tower.factors)
    most = int(0.95 * MOST_BYTES / size)
    if most < min(2, len(model.names)):
        _log.warning(
            f"The page has no part to try the model: the image encoder of one revision takes {decimal(size)} of "
            f"{decimal(MOST_BYTES)}. Use `clipdyn app` for a model of this size."
        )
        return []
    return [model.names[at] for at in evenly(len(model.names), most)]


def _read(
    model: LoadedRevisions, names: Sequence[str], images: Sequence[Image.Image], texts: Sequence[str]
) -> dict[str, Any]:
    """The towers, text vectors and logit scales of the revisions, and what they make of the stimuli."""
    part: dict[str, Any] = {"codes": [], "factors": [], "scales": [], "embeddings": []}
    vectors, equal, seen = [], 0, dict[str, NDArray[np.uint8]]()
    for name in names:
        with model.encoder(name) as encoder:
            processor = processor_identity(encoder.image_processor)
            if processor not in seen:
                seen[processor] = resize_and_crop(encoder.image_processor, images)
            pixels = seen[processor]
            tower, exact = Tower.of(encoder), encoder.embed_images(pixels).projection
            of_texts = unit(encoder.embed_texts(texts))
            with tower.in_place_of(encoder):
                rounded = encoder.embed_images(pixels).projection
            chosen, again = (similarity(one, of_texts).argmax(axis=1) for one in (exact, rounded))
            equal += int((chosen == again).sum())
            part["codes"].append(tower.codes)
            part["factors"].append(tower.factors)
            part["scales"].append(round(encoder.logit_scale, 4))
            part["embeddings"].append(unit(exact))
            vectors.append(of_texts)
            part |= tower.described
    part["texts"] = encoded(np.stack(vectors).astype("<f2").astype("<f4").tobytes())
    return part | {"agreement": equal, "asked": len(names) * len(images)}


# --- the map ----------------------------------------------------------------------------------------------


def _map(embeddings: Sequence[Floats]) -> dict[str, Any]:
    """The embeddings of the stimuli in one plane for all revisions.

    Returns:
        - ``points``: (revisions, stimuli, 2) int8; times ``unit`` they are coordinates.
        - ``onto``: of each revision (d, 2) and two more numbers, float32: a unit vector times the first, minus the
          others, lies in the plane.
        - ``shares``: of the embeddings' variance that the plane shows, by revision.
    """
    turned, rotations = aligned(embeddings)
    pooled = np.concatenate(turned)
    _, _, axes = np.linalg.svd(pooled, full_matrices=False)
    plane = axes[:2].T
    plane *= np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1]])  # the sign of an axis is arbitrary
    points = np.stack([rows @ plane for rows in turned])
    step = float(np.abs(points).max() / 127) or 1.0
    onto = [
        np.concatenate([(rotation @ plane).ravel(), rows.mean(axis=0) @ rotation @ plane])
        for rows, rotation in zip(embeddings, rotations, strict=True)
    ]
    shares = [(seen**2).sum() / ((rows**2).sum() or 1.0) for seen, rows in zip(points, turned, strict=True)]
    return {
        "points": encoded(np.rint(points / step).astype(np.int8).tobytes()),
        "unit": step,
        "onto": encoded(np.stack(onto).astype("<f2").astype("<f4").tobytes()),
        "shares": [round(float(share), 3) for share in shares],
    }


def aligned(embeddings: Sequence[Floats]) -> tuple[list[Floats], list[Floats]]:
    """Embeddings of the same stimuli at several revisions, each turned onto the next one, the last as it is.

    The space of embeddings has no axes of its own: training may turn it as a whole without changing one answer. Each
    revision is centred and turned by the orthogonal matrix that brings it closest to the next one, already turned
    (Schönemann 1966), so that what still moves on the map has moved among the stimuli.

    Args:
        embeddings: (stimuli, d) each, in the order of training.

    Returns:
        The turned embeddings, and the orthogonal matrix (d, d) of each.
    """
    last = embeddings[-1] - embeddings[-1].mean(axis=0)
    turned, rotations = [last], [np.eye(last.shape[1])]
    for rows in embeddings[-2::-1]:
        centred = rows - rows.mean(axis=0)
        left, _, right = np.linalg.svd(centred.T @ turned[0])
        rotations.insert(0, left @ right)
        turned.insert(0, centred @ rotations[0])
    return turned, rotations


def _examples(
    images: Sequence[Image.Image], classes: Sequence[str], by_cue: Mapping[str, Sequence[int]]
) -> list[dict[str, str]]:
    """Some stimuli as small pictures without loss."""
    examples = []
    for row in evenly(len(images), _EXAMPLES):
        file = io.BytesIO()
        small = images[row].copy()
        small.thumbnail((_SIDE, _SIDE))
        small.save(file, "PNG", optimize=True)
        title = ", ".join(f"{cue} {classes[places[row]]}" for cue, places in by_cue.items())
        examples.append({"title": title, "uri": f"data:image/png;base64,{encoded(file.getvalue())}"})
    return examples
