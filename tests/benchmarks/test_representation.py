"""Planted representations of objects, and the published numbers of the 92 objects."""

import numpy as np
import pytest
from shown import Shown

from hf_clipdyn.benchmarks.kind import Common
from hf_clipdyn.benchmarks.kinds.representation import Representation
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.units import scored
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.models.encoder import ImageFeatures

N = 12
LEVELS = np.random.default_rng(3).permutation(np.linspace(20, 230, N).round())


def squares(vectors):
    return np.abs(np.subtract.outer(vectors, vectors))


def build_rows(colour, person_noise=0.0, people=3):
    """Twelve squares of one colour each in three categories; people see the amount of red."""
    rng = np.random.default_rng(0)
    truth = squares(LEVELS)
    matrices = []
    for number in range(people):
        noise = rng.normal(0, person_noise, (N, N))
        matrices.append(("person", f"person_{number}", truth + np.triu(noise, 1) + np.triu(noise, 1).T))
    categories = np.repeat(np.arange(3), 4)
    matrices.append(("reference", "categories", (squares(categories) > 0).astype(float)))
    matrices.append(("reference", "human_it", truth))
    return [
        {
            "image": colour(LEVELS[place], 10),
            "image_id": str(place),
            "category": "abc"[categories[place]],
            "place": place,
            "dissimilarities": [
                {"observer": observer, "name": name, "values": matrix[place].tolist()}
                for observer, name, matrix in matrices
            ],
        }
        for place in range(N)
    ]


@pytest.fixture
def objects(source, colour):
    return lambda **options: source("dissimilarities", build_rows(colour, **options))


def red(pixels):
    return [pixels[..., 0].mean(), 0.0]


def test_a_model_whose_matrix_is_every_persons_is_at_the_ceiling(objects, measure, planted):
    found = measure(Representation, objects(), planted(red))
    assert found("alignment", variant="euclidean").value == pytest.approx(1)
    for reference in ("lower", "upper"):
        ceiling = found("alignment", probe="", role="ceiling", reference=reference)
        assert ceiling.value == pytest.approx(1)
    assert found("alignment", probe="", role="human", reference="another_person").value == pytest.approx(1)
    assert found("alignment", probe="", role="chance").value == 0
    pixels = found("alignment", probe="", role="baseline", reference="pixels_euclidean", variant="euclidean")
    assert pixels.value == pytest.approx(1), "red is all that differs"
    assert found("alignment", variant="euclidean").n_clusters == N
    assert "human_it" not in {one.reference for one in found}


def test_a_model_of_the_categories_equals_their_baseline(objects, measure, planted):
    category = {level: np.eye(3)[at // 4] for at, level in enumerate(LEVELS)}
    noisy = objects(person_noise=30.0)
    found = measure(Representation, noisy, planted(lambda pixels: category[pixels[0, 0, 0]]))
    same = found("alignment", probe="", role="baseline", reference="categories")
    assert found("alignment", variant="cosine").value == pytest.approx(same.value)


def test_hidden_states_are_compared_per_token_in_one_pass(objects, prepared):
    class TwoLayers(Shown):
        seen = 0

        def embed_images(self, pixels, hidden=False):
            self.seen += len(pixels)
            reds = pixels[:, 0, 0, 0].astype(np.float32)
            tokens = np.stack([np.stack([reds, 0 * reds + 7], 1), np.stack([0 * reds + 3, reds**2], 1)], 1)
            return ImageFeatures(
                np.stack([reds, 1 + 0 * reds], 1), (tokens, tokens[:, ::-1]) if hidden else ()
            )

    encoder = TwoLayers()
    benchmark = prepared(Representation, objects(), side=8)
    readout = Readout(encoder, batch_size=5)
    trials = benchmark.observe(readout)
    assert encoder.seen == N
    reads = trials[(trials["probe"] == "hidden") & (trials["distance"] == "euclidean")]
    first, second = np.triu_indices(N, 1)
    expected = 0.5 * (squares(LEVELS) + squares(LEVELS**2))[first, second]
    for layer in (0, 1):
        assert reads.loc[reads["layer"] == layer, "value"].to_numpy() == pytest.approx(expected)
    readout.images(*benchmark.stimuli)
    assert encoder.seen == N, "the projections are kept for other kinds"
    hidden = [one for one in scored(Representation, trials, Common()) if one.probe == "hidden"]
    assert {(one.metric, one.variant, one.layer) for one in hidden} == {
        ("alignment", variant, layer)
        for variant in ("cosine", "correlation", "euclidean")
        for layer in (0, 1)
    }


def test_one_person_and_two_images_are_refused(objects, source, colour, measure, planted):
    rows = build_rows(colour)
    rows[3]["dissimilarities"] = rows[3]["dissimilarities"][:2]
    two_images, fewer_matrices = (source("dissimilarities", one) for one in (build_rows(colour)[:2], rows))
    for wrong in (objects(people=1), two_images, fewer_matrices):
        with pytest.raises(DatasetError, match=r"matrices|images"):
            measure(Representation, wrong, planted(red))
