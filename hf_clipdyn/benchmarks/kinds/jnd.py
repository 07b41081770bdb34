"""Just-noticeable differences: is the distance small where people see no difference (Zhang et al. 2018)?"""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from hf_clipdyn.benchmarks.base import Benchmark, Measurement, Settings, decode, digest, measurement
from hf_clipdyn.benchmarks.pairs import by_place, by_subset, dropped_dimensions, pair_distances, place_group
from hf_clipdyn.benchmarks.pixel_baselines import kept, pixel_distance
from hf_clipdyn.benchmarks.readout import Readout, Stimuli
from hf_clipdyn.benchmarks.sources import Source
from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.shared_images import connected_rows
from hf_clipdyn.metrics.undefined import undefined_causes

__all__ = ["Jnd"]


class Jnd(Benchmark):
    """Average precision of small distances for pairs that look the same, per sub-set and pooled.

    A distance that says nothing scores ``same_share`` (probe ``human``), the mean share of "same" answers. The
    Euclidean distance between the pixels that the model sees stands beside it (probe ``pixels``).

    Trials: item, cluster (number, the same for pairs that are connected by images which both show), same (share of
    "same" answers), subset, incomplete, probe, layer, distance, value, dropped_dimensions.
    """

    kind: ClassVar[str] = "jnd"
    schemas = ("same_different",)
    suites: ClassVar = {"full": ("bapps",)}
    needs_text: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = True
    clusters = ("cluster",)

    def __init__(self, source: Source, image_processor: Any, settings: Settings) -> None:
        self._show_progress = settings.show_progress
        facts = source.dataset.select_columns(["same", "subset"]).to_pandas()
        first, second = (
            decode(source.dataset, image_processor, settings, name) for name in ("image_0", "image_1")
        )
        broken = first.broken | second.broken
        rows = np.flatnonzero(~broken)
        self._first, self._second = Stimuli(first.array, rows), Stimuli(second.array, rows)
        shown = pd.factorize(np.array([*self._first.keys, *self._second.keys], dtype=object))[0]
        self._facts = (
            facts.iloc[rows]
            .reset_index(drop=True)
            .assign(
                item=rows,
                cluster=connected_rows(shown.reshape(2, len(rows)).T),
                incomplete=source.incomplete(len(rows)),
            )
        )
        self._pixel_distances = kept(
            "distances of pixels",
            [first.fingerprint, second.fingerprint],
            rows,
            lambda row: (pixel_distance(first.array[row], second.array[row]),),
            settings,
        )
        self.left_out = int(broken.sum())
        self.fingerprint = digest(self.kind, first.fingerprint, second.fingerprint, facts.to_dict("list"))

    def observe(self, readout: Readout) -> pd.DataFrame:
        """Distance of the two images of each pair, at every place."""
        distances = pair_distances(readout, self._first, self._second, show_progress=self._show_progress)
        facts = self._facts.iloc[distances["pair"]].reset_index(drop=True)
        model = pd.concat([facts, distances.drop(columns="pair")], axis=1)
        pixels = self._facts.assign(
            probe="pixels", distance="euclidean", value=self._pixel_distances[:, 0], dropped_dimensions=0
        )
        trials: pd.DataFrame = pd.concat([model, pixels], ignore_index=True)
        return trials

    @staticmethod
    def score(trials: pd.DataFrame, settings: Settings) -> list[Measurement]:
        """Average precision of every place, pooled and per sub-set."""
        found: list[Measurement] = []
        for place, distance, rows in by_place(trials):
            for group, part in by_subset(rows, rows):
                # Each interval sorts through all pairs a thousand times: hidden states have that of the pool alone.
                spared = place["probe"] == "hidden" and group != ""
                chosen = replace(settings, n_resamples=0) if spared else settings
                found.append(_precision(part, distance, place_group(rows, distance, group), place, chosen))
            found += dropped_dimensions(rows, distance, place)
        items = trials.drop_duplicates("item")
        for group, part in by_subset(items, items):
            share = float(part["same"].mean())
            found.append(Measurement("same_share", share, n=len(part), group=group, probe="human"))
        return found


def _precision(
    rows: pd.DataFrame, distance: str, group: str, place: dict[str, Any], settings: Settings
) -> Measurement:
    # Trials of an earlier version name no clusters; in BAPPS no two pairs are known to share an image.
    clusters = rows["cluster" if "cluster" in rows else "item"]
    n_groups = clusters.nunique()
    with undefined_causes() as causes:
        groups = clusters if n_groups < len(rows) else None
        result = jnd_map(rows["value"], rows["same"], groups=groups, **settings.resampling)
    return measurement(
        result,
        "jnd_map",
        causes,
        metric=f"jnd_map/{distance}",
        group=group,
        n_groups=n_groups,
        higher_is_better=True,
        **place,
    )
