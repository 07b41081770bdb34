"""The way of the weights of a small CLIP, against an independent form."""

import weakref

import numpy as np
import pytest
from recipes import grid

from hf_clipdyn.metrics.weight_path import parts_of, weight_path


def weights(epoch):
    return {
        "visual_projection.weight": grid(4, 6, (3 + epoch, 5, 2 + 2 * epoch, 101)),
        "text_projection.weight": grid(4, 5, (3 + 2 * epoch, 6, 2 + epoch, 101)),
        "logit_scale": np.array(2 + 0.25 * epoch),
        "text_model.embeddings.position_ids": np.arange(7) * epoch,
    }


EPOCHS = [weights(epoch) for epoch in range(4)]


def test_the_path_is_that_of_the_independent_form():
    path = weight_path(EPOCHS)[""]
    assert path["norms"][0] == pytest.approx(2.810224725, abs=1e-9)
    assert path["norms"][3] == pytest.approx(3.363482519, abs=1e-9)
    assert path["steps"] == pytest.approx([1.897830566, 2.479176337, 1.954375255], abs=1e-9)
    assert path["distance"] / path["path"] == pytest.approx(0.4089171430, abs=1e-10)


def test_parts_add_up_to_the_whole():
    path = weight_path(EPOCHS)
    squares = [np.square(path[part]["steps"]) for part in ("image", "text", "logit_scale")]
    assert np.sqrt(sum(squares)) == pytest.approx(path[""]["steps"])
    assert path["logit_scale"]["distance"] == path["logit_scale"]["path"]
    assert path["visual_projection"] == path["image"]


def test_float16_states_are_subtracted_in_single_precision():
    small = [{"text_projection.weight": np.array([1.0, 2.0 + 2**-9 * step], np.float16)} for step in range(3)]
    assert weight_path(small)[""]["steps"] == pytest.approx([2**-9] * 2)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("visual.transformer.resblocks.11.attn.in_proj_bias", ["image", "visual.transformer.resblocks.11"]),
        ("transformer.resblocks.0.ln_1.weight", ["text", "transformer.resblocks.0"]),
        ("token_embedding.weight", ["text", "token_embedding"]),
        ("vision_model.post_layernorm.bias", ["image", "vision_model.post_layernorm"]),
        ("logit_bias", ["logit_bias"]),
    ],
)
def test_a_parameter_belongs_to_a_tower_and_a_block(name, parts):
    assert parts_of(name) == parts


def test_at_most_three_states_are_held():
    class State(dict):
        """A dictionary to which weak references are possible."""

    made, alive = [], []

    def states():
        for epoch in range(8):
            state = State(weights(epoch))
            made.append(weakref.ref(state))
            alive.append(sum(one() is not None for one in made))
            yield state

    weight_path(states())
    assert max(alive) <= 3
