"""What the page shows of the trials of each kind of this package: its stimuli, and its response curves.

A kind says nothing of the page. Each function here reads the trials of one kind; another kind has no stimuli.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hf_clipdyn.benchmarks.gallery import Gallery, GalleryView, Picture, View
from hf_clipdyn.benchmarks.pair_tables import PLACE_OF_DISTANCE, places_of_distances


def jnd(trials: pd.DataFrame) -> Gallery:
    """Pairs: how many people saw a difference, and the place of the model's distance among all pairs."""
    shown = trials.drop_duplicates("item").set_index("item")
    return Gallery(
        pictures=(Picture(title="one", column="image_0"), Picture(title="other", column="image_1")),
        answer="value",
        answers=places_of_distances(trials),
        value_title=PLACE_OF_DISTANCE,
        people=1 - shown["same"],
        people_title="share of people who saw a difference",
        groups=shown["subset"] if shown["subset"].nunique() > 1 else None,
        group_title="subset",
        check=shown[["same", "subset"]],
    )


VIEWS: Mapping[str, tuple[View[Any], ...]] = {
    "jnd": (GalleryView(("item", "same", "subset", "probe", "distance", "value"), jnd),),
}
"""By the name of the kind."""
