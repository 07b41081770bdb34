"""Is shape or texture linearly decodable from each layer? Linear probes for both cues of cue-conflict images."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hf_clipdyn.benchmarks.kind import Common, Kind, KindSettings, digest, number, share, term, words
from hf_clipdyn.benchmarks.shape_scores import OTHER_CUE, decided_by_probe
from hf_clipdyn.results.row import Number
from hf_clipdyn.results.terms import Reference

if TYPE_CHECKING:
    import pandas as pd

    from hf_clipdyn.benchmarks.readout import Readout
    from hf_clipdyn.benchmarks.sources import Source
    from hf_clipdyn.metrics.scores import Scale, Score

_EXEMPLARS = ("shape_exemplar", "texture_exemplar")
_BASELINES = {
    "pixels": "linear model on pixels",
    "amplitudes": "linear model on the amplitude spectrum",
    "colours": "linear model on the colour histogram",
}
_SHUFFLED = "shuffled"
_DIFFERENCE = "shape_minus_texture"
_UNDEFINED = "fewer than two classes have a second exemplar, or no exemplar is combined with two classes"


class Decodability(Kind):
    """Balanced accuracy of linear probes for shape and for texture, in each layer; by exemplars not seen in the fit.

    A probe shows what a layer contains, not what the model uses (Hermann and Lampinen 2020). The probes are those of
    `decide_crossed`: what depends on the other cue alone tells them nothing. Hidden states are the mean token.

    Trials: item, shape, texture, shape_exemplar, texture_exemplar, cue (shape or texture), probe (projection, hidden;
    ``shuffled``: the projections, each given to another image; pixels, amplitudes, colours: without a model), layer,
    decision (a class of the cue; null if its class has no other exemplar).
    """

    name = "decodability"
    schemas = ("cue_conflict",)
    clusters = _EXEMPLARS
    needs_text = False
    reads_layers = True
    score_version = 2
    terms = words(
        "Shape and texture in the layers",
        217,
        *(
            share(
                cue,
                f"decodability of {cue}",
                f"Balanced accuracy of a linear probe for the {cue}, on exemplars that it has not seen. It shows what "
                "is represented, not what is used.",
                better="",
            )
            for cue in OTHER_CUE
        ),
        term(
            _DIFFERENCE,
            "shape minus texture",
            "Difference of the decodabilities.",
            limits=(-1.0, 1.0),
            neutral=0.0,
            neutral_title="equal",
            poles=("texture", "shape"),
            by_layer=True,
        ),
        question="Which layers contain shape and texture?",
        probes={"hidden": "mean token"},
        references=(
            Reference(role="chance", title="chance"),
            Reference(role="null", title="shuffled images"),
            *(Reference(role="baseline", name=name, title=title) for name, title in _BASELINES.items()),
        ),
    )

    def __init__(
        self, source: "Source", image_processor: Any, settings: KindSettings, common: Common
    ) -> None:
        super().__init__(source, image_processor, settings, common)
        described = self.table[[*OTHER_CUE, *_EXEMPLARS, "item"]]
        self.conflict = (described["shape"] != described["texture"]).to_numpy()
        self.asked = described[self.conflict].reset_index(drop=True)
        self.facts = {}
        self.fingerprint = digest(self.name, self.pixels[0].fingerprint, self.asked.to_dict("list"))

    def observe(self, readout: "Readout") -> "pd.DataFrame":
        """Fit the probes on each layer, and read them where they were not fitted."""
        import numpy as np
        import pandas as pd

        from hf_clipdyn.benchmarks.hidden_states import pooled_states
        from hf_clipdyn.benchmarks.vectors import unit

        projection, hidden = pooled_states(readout, self.stimuli[0])
        rows = unit(projection[self.conflict])
        blocks = [self._read(rows, "projection"), *self._without_model]
        blocks += [self._read(state[self.conflict], "hidden", at) for at, state in enumerate(hidden)]
        blocks.append(self._read(np.random.default_rng(0).permutation(rows), _SHUFFLED))
        columns = ["item", *OTHER_CUE, *_EXEMPLARS, "cue", "probe", "layer", "decision"]
        trials: pd.DataFrame = pd.concat(blocks, ignore_index=True)[columns]
        return trials.astype({"layer": "Int64", "decision": "string"})

    @cached_property
    def _without_model(self) -> "list[pd.DataFrame]":
        from hf_clipdyn.benchmarks.simple_models import SIMPLE_FEATURES

        images = self.pixels[0].array[self.shown[self.conflict]]
        return [self._read(features(images), name) for name, features in SIMPLE_FEATURES.items()]

    def _read(self, rows: Any, probe: str, layer: int | None = None) -> "pd.DataFrame":
        import pandas as pd

        decisions = {cue: decided_by_probe(rows, self.asked, cue) for cue in OTHER_CUE}
        blocks = (self.asked.assign(cue=cue, decision=decided) for cue, decided in decisions.items())
        trials: pd.DataFrame = pd.concat(blocks)
        return trials.assign(probe=probe, layer=pd.array([layer] * len(trials), dtype="Int64"))

    @classmethod
    def score(cls, trials: "pd.DataFrame", seed: int = 0) -> "Iterator[tuple[Number, Scale]]":
        """Balanced accuracies by layer with their difference, and floors."""
        import pandas as pd

        from hf_clipdyn.metrics.scores import Score, mean

        decided = trials[trials["decision"].notna()]
        if decided.empty:
            yield from (number(cue, Score(float("nan"), cause=_UNDEFINED)) for cue in OTHER_CUE)
            return
        key: Any
        for key, rows in decided.groupby(["probe", "layer"], sort=False, dropna=False):
            probe, layer = key
            columns = _columns(probe, None if pd.isna(layer) else int(layer))
            found = dict(list(rows.groupby("cue", sort=False)))
            scores = {
                cue: _balanced_accuracy(own["decision"] == own[cue], own[cue]) for cue, own in found.items()
            }
            for cue, score in scores.items():
                yield number(str(cue), score, found[cue]["item"], **columns)
            if columns["role"] == "value" and len(scores) == 2:
                shape, texture = (
                    pd.Series(scores[cue].influence, pd.Index(found[cue]["item"])) for cue in OTHER_CUE
                )
                both = shape.sub(texture, fill_value=0.0)
                value = scores["shape"].value - scores["texture"].value
                difference = Score(value, both.to_numpy(), "linear", len(both))
                yield number(_DIFFERENCE, difference, both.index, **columns)
        for cue, rows in decided.groupby("cue", sort=False):
            # A guess is among all classes of the cue but the image's class of the other cue (`decide_crossed`).
            shown = rows[rows["probe"] == rows["probe"].iloc[0]].drop_duplicates("item")
            candidates = shown[cue].nunique() - shown[OTHER_CUE[str(cue)]].isin(shown[cue])
            yield number(str(cue), mean(1 / candidates), role="chance", probe="")


def _columns(probe: str, layer: int | None) -> dict[str, Any]:
    if probe == _SHUFFLED:
        return {"role": "null", "probe": ""}
    if probe in _BASELINES:
        return {"role": "baseline", "reference": probe, "probe": ""}
    return {"role": "value", "probe": probe, "layer": layer}


def _balanced_accuracy(right: "pd.Series[bool]", classes: "pd.Series[str]") -> "Score":
    """Mean over classes of the share that is right, and what each item contributes to it."""
    from hf_clipdyn.metrics.scores import Score

    hits = right.astype("float64")
    by_class = hits.groupby(classes.to_numpy())
    influence = (hits - by_class.transform("mean")) / (by_class.ngroups * by_class.transform("size"))
    return Score(float(by_class.mean().mean()), influence.to_numpy(), "count", len(hits))
