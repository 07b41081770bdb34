"""The way of the weights of a small CLIP, and barriers between its epochs, against an independent form."""

import numpy as np
import pytest
from recipes import grid
from scipy.special import logsumexp

from hf_clipdyn.errors import MetricError
from hf_clipdyn.metrics.weight_path import barrier, interpolate, parts_of, weight_path

ALPHAS = [0, 0.25, 0.5, 0.75, 1]
NAMES = ("barrier_linear", "barrier_mean_of_ends", "barrier_max_of_ends")


def weights(epoch):
    return {
        "visual_projection.weight": grid(4, 6, (3 + epoch, 5, 2 + 2 * epoch, 101)),
        "text_projection.weight": grid(4, 5, (3 + 2 * epoch, 6, 2 + epoch, 101)),
        "logit_scale": np.array(2 + 0.25 * epoch),
        "text_model.embeddings.position_ids": np.arange(7) * epoch,
    }


def loss(state):
    images = grid(10, 6, (2, 7, 5, 97)) @ state["visual_projection.weight"].T
    texts = grid(10, 5, (3, 9, 6, 97)) @ state["text_projection.weight"].T
    images, texts = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, texts))
    logits = np.exp(state["logit_scale"]) * images @ texts.T
    both = (logsumexp(logits, axis=axis) - np.diag(logits) for axis in (0, 1))
    return np.mean([one.mean() for one in both])


EPOCHS = [weights(epoch) for epoch in range(4)]


def test_the_path_is_that_of_the_independent_form():
    path = weight_path(EPOCHS)
    assert path["norms"][0] == pytest.approx(2.810224725, abs=1e-9)
    assert path["norms"][3] == pytest.approx(3.363482519, abs=1e-9)
    assert path["steps"] == pytest.approx([1.897830566, 2.479176337, 1.954375255], abs=1e-9)
    assert path["straightness"] == pytest.approx(0.4089171430, abs=1e-10)
    assert path["cosines"] == pytest.approx([-0.5581148371, -0.5194893469], abs=1e-10)


def test_the_loss_between_two_epochs_is_that_of_the_independent_form():
    found = [loss(interpolate(EPOCHS[0], EPOCHS[3], alpha)) for alpha in ALPHAS]
    expected = [5.009097110, 4.798932959, 4.822838150, 5.875780409, 9.494935926]
    assert found == pytest.approx(expected, abs=1e-9)
    half = interpolate(EPOCHS[0], EPOCHS[3], 0.5)
    half["logit_scale"] = np.log((np.exp(2) + np.exp(2.75)) / 2)
    assert loss(half) == pytest.approx(5.095477422, abs=1e-9)


def test_barriers_follow_three_conventions():
    found = barrier(ALPHAS, [2, 2.3, 1.9, 1.2, 0.8])
    assert [found[name] for name in NAMES] == pytest.approx([0.6, 0.9, 0.3])
    assert found["alpha"] == 0.25
    falling = barrier(ALPHAS, [2, 1, 0.5, 1, 3])
    assert [falling[name] for name in NAMES] == [0, 0.5, 0]


def test_the_cosine_with_the_whole_way_adds_up_to_the_way():
    path = weight_path(EPOCHS)
    along = np.array(path["steps"]) * path["cosines_with_whole"]
    assert along.sum() == pytest.approx(path["distance"])


def test_parts_add_up_to_the_whole():
    path = weight_path(EPOCHS)
    squares = [np.square(path["parts"][part]["steps"]) for part in ("image", "text", "logit_scale")]
    assert np.sqrt(sum(squares)) == pytest.approx(path["steps"])
    assert path["parts"]["logit_scale"]["straightness"] == 1
    assert path["parts"]["visual_projection"] == path["parts"]["image"]


def test_an_iterator_gives_the_same_except_what_needs_the_end():
    path, streamed = weight_path(EPOCHS), weight_path(iter(EPOCHS))
    assert np.isnan(streamed.pop("cosines_with_whole")).all()
    assert list(streamed["causes"]) == ["cosines_with_whole"]
    for name in ("norms", "steps", "path", "distance", "straightness", "relative_distance", "cosines"):
        assert streamed[name] == path[name]


def test_a_sequence_of_states_is_read_one_by_one():
    class Loaded:
        alive = 0
        most = 0

        def __init__(self):
            Loaded.alive += 1
            Loaded.most = max(Loaded.most, Loaded.alive)

        def __del__(self):
            Loaded.alive -= 1

    class State(dict):
        pass

    def states():
        for epoch in range(8):
            state = State(weights(epoch))
            state.marker = Loaded()
            yield state

    weight_path(states())
    assert Loaded.most <= 4


def test_float16_states_are_subtracted_in_single_precision():
    small = [{"text_projection.weight": np.array([1.0, 2.0 + 2**-9 * step], np.float16)} for step in range(3)]
    assert weight_path(small)["steps"] == pytest.approx([2**-9] * 2)


def test_weights_that_do_not_move_have_no_direction():
    path = weight_path([EPOCHS[0]] * 3)
    assert path["path"] == 0
    assert np.isnan([path["straightness"], *path["cosines"], *path["cosines_with_whole"]]).all()
    assert set(path["causes"]) == {"straightness", "cosines", "cosines_with_whole"}


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


def test_interpolation_keeps_types_and_integer_buffers():
    first = {
        name: values.astype(np.float32) if "proj" in name else values for name, values in EPOCHS[1].items()
    }
    mixed = interpolate(first, EPOCHS[2], 0.5)
    assert [mixed[name].dtype for name in first] == [first[name].dtype for name in first]
    assert (mixed["text_model.embeddings.position_ids"] == np.arange(7)).all()


def test_the_interval_of_a_barrier_pairs_the_items():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=200)
    losses = np.array([1, 1.5, 1.2])[:, None] + hard + 0.1 * rng.normal(size=(3, 200))
    found = barrier([0, 0.5, 1], losses)
    low, high = found["barrier_linear_ci"]
    assert low < 0.4 < high
    assert high - low < 0.08
    assert found["influences"]["barrier_linear"].shape == (200,)


def test_halves_choose_the_place_for_each_other_so_that_noise_makes_no_barrier():
    rng = np.random.default_rng(0)
    alphas, halves = np.linspace(0, 1, 11), np.arange(100) % 2
    flat = [rng.normal(size=(11, 100)) for _ in range(200)]
    biased = np.mean([barrier(alphas, one)["barrier_linear"] for one in flat])
    split = [barrier(alphas, one, halves=halves)["barrier_linear"] for one in flat]
    assert biased > 0.15
    assert abs(np.mean(split)) < 0.03
    hill = np.sin(np.pi * alphas)[:, None] + 0.1 * flat[0]
    assert barrier(alphas, hill, halves=halves)["barrier_linear"] == pytest.approx(1, abs=0.05)
    with pytest.raises(MetricError, match="divide the items into two"):
        barrier(alphas, hill, halves=np.zeros(100))
