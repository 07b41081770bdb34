"""The cue-conflict images, edges and silhouettes of Geirhos et al. 2019 at 64 pixels, for models of small pictures.

Nobody judged them at that size: people's trials are those on the images of 224 pixels.
"""

from dataclasses import replace

from hf_clipdyn.data.base import Rows, configs
from hf_clipdyn.data.sets.cue_conflict import CueConflict
from hf_clipdyn.data.sets.model_vs_human import classified

_DRAWN = ("edge", "silhouette")


class CueConflict64(CueConflict):
    """1,280 cue conflicts, 160 edges and 160 filled silhouettes, made smaller with Lanczos' filter; split ``test``.

    - ``cue_conflict``: the images with two cues; kind ``cue_conflict``;
    - ``outlines``: edges and silhouettes; kind ``classification``.

    The folder has ``cue-conflict/``, ``edges/`` and ``filled-silhouettes/`` in the layout of the official release.
    """

    BUILDER_CONFIGS = configs("cue_conflict", "outlines")
    DEFAULT_CONFIG_NAME = "cue_conflict"
    metadata = replace(
        CueConflict.metadata,
        title="Texture-shape cue conflict, edges and silhouettes at 64 pixels",
        rows={"cue_conflict/test": 1280, "outlines/test": 320},
        config_kinds={"outlines": "classification"},
        human_reference={},
        where="github.com/rgeirhos/texture-vs-shape, images made smaller to 64 x 64 pixels",
        caution="The images have 64 pixels, and people judged those of 224 pixels: their numbers are of larger images.",
    )
    companion = "/model-vs-human-trials|/cue-conflict-human-trials"
    layout = ("cue-conflict/", "edges/|edge/", "filled-silhouettes/|silhouette/")

    def rows(self, split: str) -> Rows:
        if self.config.name == "cue_conflict":
            yield from self.conflicts(self.files.folder("cue-conflict"))
            return
        for file, row in classified(self.files):
            if row["subset"] in _DRAWN:
                yield {"image": self.image(file), **row}
