"""What do the layers contain: shape or texture? Linear probes for both cues of images in which they conflict."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hf_clipdyn.benchmarks.base import (
    NO_INTERVAL,
    Common,
    ImageKind,
    KindSettings,
    by_item,
    digest,
    number,
    unit,
)
from hf_clipdyn.benchmarks.hidden_states import pooled_states
from hf_clipdyn.benchmarks.probe import decide_crossed
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.shape_scores import OTHER_CUE
from hf_clipdyn.benchmarks.simple_models import SIMPLE_FEATURES, SIMPLE_TITLES
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.bootstrap import Scale, influence_interval
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import KindTerms, Reference, Term

_CUES = ("shape", "texture", "shape_exemplar", "texture_exemplar")
_SHUFFLED = "shuffled"
_DIFFERENCE = "shape_minus_texture"


class Decodability(ImageKind[KindSettings]):
    """Balanced accuracy of linear probes for shape and for texture, in each layer; by exemplars not seen in the fit.

    A probe shows what a layer contains, not what the model uses (Hermann and Lampinen 2020). The probes are those of
    `decide_crossed`: what depends on the other cue alone tells them nothing. Hidden states are the mean token.

    Trials: item, shape, texture, shape_exemplar, texture_exemplar, cue (shape or texture), probe (projection, hidden;
    ``shuffled``: the projections, each given to another image; pixels, amplitudes, colours: without a model), layer,
    decision (a class of the cue; null if its class has no other exemplar).
    """

    name = "decodability"
    schemas = ("cue_conflict",)
    terms = KindTerms(
        title="Shape and texture in the layers",
        question="Which layers contain shape and texture?",
        rank=217,
        terms={
            **{
                cue: Term(
                    title=f"decodability of {cue}",
                    meaning=f"Balanced accuracy of a linear probe for the {cue}, on exemplars that it has not seen. "
                    "It shows what is represented, not what is used.",
                    limits=(0.0, 1.0),
                )
                for cue in OTHER_CUE
            },
            _DIFFERENCE: Term(
                title="shape minus texture",
                meaning="Difference of the decodabilities.",
                limits=(-1.0, 1.0),
                neutral=0.0,
                neutral_title="equal",
                poles=("texture", "shape"),
                by_layer=True,
            ),
        },
        probes={"hidden": "mean token"},
        references=(
            Reference(role="chance", title="chance"),
            Reference(role="null", title="shuffled images"),
            *(Reference(role="baseline", name=name, title=title) for name, title in SIMPLE_TITLES.items()),
        ),
    )
    trial_columns: ClassVar = {
        "item": "int64",
        **dict.fromkeys(_CUES, "string"),
        "cue": "string",
        "probe": "string",
        "layer": "Int64",
        "decision": "string",
    }
    needs_text = False
    reads_layers = True
    clusters = ("shape_exemplar", "texture_exemplar")

    def __init__(self, source: Source, image_processor: Any, settings: KindSettings, common: Common) -> None:
        super().__init__(source, image_processor, settings, common)
        described = (
            source.dataset.select_columns([*_CUES]).to_pandas().iloc[self.shown].assign(item=self.shown)
        )
        conflict = (described["shape"] != described["texture"]).to_numpy()
        self._images = described[conflict].reset_index(drop=True)
        self._conflict = conflict
        self.fingerprint = digest(self.name, self.pixels.fingerprint, self._images.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Fit the probes on each layer, and read them where they were not fitted."""
        projection, hidden = pooled_states(readout, self.stimuli)
        rows = unit(projection[self._conflict])
        blocks = [self._read(rows, "projection"), *self._without_model]
        blocks += [self._read(state[self._conflict], "hidden", at) for at, state in enumerate(hidden)]
        blocks.append(self._read(np.random.default_rng(0).permutation(rows), _SHUFFLED))
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)
        return trials[list(self.trial_columns)].astype(self.trial_columns)

    @cached_property
    def _without_model(self) -> list[pd.DataFrame]:
        images = self.pixels.array[self.shown[self._conflict]]
        return [self._read(features(images), name) for name, features in SIMPLE_FEATURES.items()]

    def _read(self, rows: NDArray[np.floating[Any]], probe: str, layer: int | None = None) -> pd.DataFrame:
        blocks = []
        for cue, other in OTHER_CUE.items():
            classes, names = pd.factorize(self._images[cue], sort=True)
            decided = decide_crossed(
                rows,
                classes,
                self._images[f"{cue}_exemplar"],
                pd.Index(names).get_indexer(self._images[other]),
                self._images[f"{other}_exemplar"],
            )
            decisions = [names[code] if code >= 0 else None for code in decided]
            blocks.append(self._images.assign(cue=cue, decision=decisions))
        trials: pd.DataFrame = pd.concat(blocks)
        return trials.assign(probe=probe, layer=pd.array([layer] * len(trials), dtype="Int64"))

    @staticmethod
    def score(trials: pd.DataFrame, common: Common) -> list[Number]:
        """Balanced accuracies by layer with their difference, and floors."""
        decided, numbers = trials[trials["decision"].notna()], []
        if decided.empty:
            note = (
                "fewer than two classes have a second exemplar, or no exemplar is combined with two classes"
            )
            return [Number(metric=cue, value=float("nan"), note=note) for cue in OTHER_CUE]
        clusters = decided.drop_duplicates("item").set_index("item")[list(Decodability.clusters)]
        for key, rows in decided.groupby(["probe", "layer"], sort=False, dropna=False):
            probe, layer = cast("tuple[str, Any]", key)
            shares = {
                str(cue): _balanced_accuracy(own, str(cue)) for cue, own in rows.groupby("cue", sort=False)
            }
            columns = _columns(probe, None if pd.isna(layer) else int(layer))
            numbers += [_number(cue, *share, clusters, common, columns) for cue, share in shares.items()]
            if columns["role"] == "value" and len(shares) == 2:
                (shape, of_shape), (texture, of_texture) = (shares[cue] for cue in OTHER_CUE)
                known = of_shape.sub(of_texture, fill_value=0.0)
                numbers.append(_number(_DIFFERENCE, shape - texture, known, clusters, common, columns))
        return numbers + list(_chances(decided))


def _columns(probe: str, layer: int | None) -> dict[str, Any]:
    if probe == _SHUFFLED:
        return {"role": "null", "probe": ""}
    if probe in SIMPLE_FEATURES:
        return {"role": "baseline", "reference": probe, "probe": ""}
    return {"role": "value", "probe": probe, "layer": layer}


def _balanced_accuracy(rows: pd.DataFrame, cue: str) -> tuple[float, "pd.Series[float]"]:
    """Mean over classes of the share that is right, and the influence of each item."""
    hits = (rows["decision"] == rows[cue]).astype(np.float64)
    by_class = hits.groupby(rows[cue].to_numpy())
    recalls = by_class.transform("mean")
    n_classes = by_class.ngroups
    influence = (hits - recalls) / (n_classes * by_class.transform("size"))
    return float(by_class.mean().mean()), by_item(influence, rows["item"])


def _number(
    metric: str,
    value: float,
    influence: "pd.Series[float]",
    clusters: pd.DataFrame,
    common: Common,
    columns: Mapping[str, Any],
) -> Number:
    ways = [pd.factorize(clusters[name].loc[influence.index])[0] for name in Decodability.clusters]
    scale: Scale = "linear" if metric == _DIFFERENCE else "share"
    ends = NO_INTERVAL
    if common.n_resamples:
        ends = influence_interval(value, np.asarray(influence), ways, scale, common.confidence_level)
    result = {metric: value, f"{metric}_ci": ends, "n": len(influence)}
    n_clusters = min(int(way.max()) + 1 for way in ways)
    return number(result, metric, n_clusters=n_clusters, influence=influence, **columns)


def _chances(decided: pd.DataFrame) -> Iterator[Number]:
    """A guess is among all classes of the cue but the image's class of the other cue (`decide_crossed`)."""
    for cue, rows in decided.groupby("cue", sort=False):
        of_probe = rows[rows["probe"] == rows["probe"].iloc[0]].drop_duplicates("item")
        other = OTHER_CUE[str(cue)]
        candidates = of_probe[cue].nunique() - of_probe[other].isin(of_probe[cue])
        value = float((1 / candidates).mean())
        yield Number(metric=str(cue), role="chance", probe="", value=value, n=len(of_probe))
