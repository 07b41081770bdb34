"""Planted representations of objects, and the published numbers of the 92 objects."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from transformers import CLIPImageProcessor

from hf_clipdyn.benchmarks.base import Common, KindSettings
from hf_clipdyn.benchmarks.kinds.representation import Representation
from hf_clipdyn.benchmarks.readout import Readout
from hf_clipdyn.benchmarks.sources import open_source
from hf_clipdyn.benchmarks.units import influences
from hf_clipdyn.errors import DatasetError
from hf_clipdyn.metrics.representational_similarity import representational_similarity
from hf_clipdyn.models.encoder import ImageFeatures

N = 12
LEVELS = np.random.default_rng(3).permutation(np.linspace(20, 230, N).round())


def squares(vectors):
    return np.abs(np.subtract.outer(vectors, vectors))


def build_rows(colour, person_noise=0.0, people=3, brains=()):
    """Twelve squares of one colour each in three categories; people see the amount of red."""
    rng = np.random.default_rng(0)
    truth = squares(LEVELS)
    matrices = []
    for number in range(people):
        noise = rng.normal(0, person_noise, (N, N))
        matrices.append(("person", f"person_{number}", truth + np.triu(noise, 1) + np.triu(noise, 1).T))
    categories = np.repeat(np.arange(3), 4)
    matrices.append(("reference", "categories", (squares(categories) > 0).astype(float)))
    matrices += [("reference", name, matrix) for name, matrix in brains]
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
    for metric in ("alignment", "alignment_tau_a", "alignment_pearson"):
        for subset in ("", "within_categories"):
            one = found(metric, variant="euclidean", subset=subset)
            ceiling = found(metric, probe="", role="ceiling", reference="lower", subset=subset)
            assert one.value == pytest.approx(ceiling.value)
            assert one.value == pytest.approx(1) or "tau_a" in metric, "tau-a counts ties as disagreement"
            assert found(metric, probe="", role="chance", subset=subset).value == 0
    pixels = found("alignment", probe="", role="baseline", reference="pixels_euclidean", variant="euclidean")
    assert pixels.value == pytest.approx(1), "red is all that differs"
    assert found("alignment", variant="euclidean").n_clusters == N


def test_a_model_whose_matrix_is_random_is_at_chance_and_a_category_model_equals_its_reference(
    objects, measure, planted
):
    rng = np.random.default_rng(4)
    places = {level: rng.normal(size=8) for level in LEVELS}
    found = measure(Representation, objects(), planted(lambda pixels: places[pixels[0, 0, 0]]))
    one = found("alignment", variant="cosine")
    assert one.ci_low < 0 < one.ci_high

    category = {level: np.eye(3)[at // 4] for at, level in enumerate(LEVELS)}
    found = measure(Representation, objects(), planted(lambda pixels: category[pixels[0, 0, 0]]))
    for metric in ("alignment", "alignment_tau_a", "alignment_pearson"):
        same = found(metric, probe="", role="baseline", reference="categories")
        assert found(metric, variant="cosine").value == pytest.approx(same.value)
        within = found(metric, variant="cosine", subset="within_categories")
        assert within.note == "the dissimilarities are constant"


def test_the_person_whose_matrix_the_model_has_agrees_most(objects, measure, planted):
    found = measure(
        Representation, objects(person_noise=150.0), planted(lambda pixels: [pixels[0, 0, 0], 1.0])
    )
    own = [found("alignment_by_person", variant="cosine", subset=f"person_{at}") for at in range(3)]
    assert found("alignment", variant="cosine").value == pytest.approx(np.mean([one.value for one in own]))
    others = found("alignment_by_person", probe="", role="human", reference="others", subset="person_1")
    assert -1 <= others.value <= 1


def test_the_model_is_compared_with_the_cortex_of_people_and_monkeys(objects, measure, planted):
    rng = np.random.default_rng(4)
    places = {level: rng.normal(size=8) for level in LEVELS}
    own = np.stack([vector / np.linalg.norm(vector) for vector in places.values()])
    alike, other = 1 - own @ own.T, squares(rng.permutation(LEVELS))
    brains = [("human_it", alike), ("monkey_it", other)]
    model = planted(lambda pixels: places[pixels[0, 0, 0]])
    found = measure(Representation, objects(brains=brains), model)
    human, monkey = (found("alignment_it", variant="cosine", subset=name) for name, _ in brains)
    assert human.value == pytest.approx(1)
    upper = np.triu_indices(N, 1)
    assert monkey.value == pytest.approx(spearmanr(alike[upper], other[upper]).statistic)
    assert monkey.ci_low < monkey.value < monkey.ci_high
    assert monkey.n_clusters == N
    for name, _ in brains:
        of_people = found("alignment_it", probe="", role="human", reference="people", subset=name)
        assert of_people.value == found("alignment", probe="", role="baseline", reference=name).value
        assert found("alignment_it", probe="", role="chance", subset=name).value == 0
    assert "alignment_it" not in measure(Representation, objects(), model)


def test_hidden_states_are_compared_per_token_in_one_pass(objects, tmp_path):
    class TwoLayers:
        seen = 0

        def embed_images(self, pixels, hidden=False):
            self.seen += len(pixels)
            reds = pixels[:, 0, 0, 0].astype(np.float32)
            tokens = np.stack([np.stack([reds, 0 * reds + 7], 1), np.stack([0 * reds + 3, reds**2], 1)], 1)
            return ImageFeatures(
                np.stack([reds, 1 + 0 * reds], 1), (tokens, tokens[:, ::-1]) if hidden else ()
            )

    encoder = TwoLayers()
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    common = Common(cache_dir=tmp_path, show_progress=False, n_resamples=0)
    benchmark = Representation(objects(), processor, KindSettings(), common)
    readout = Readout(encoder, batch_size=5)
    trials = benchmark.observe(readout)
    assert encoder.seen == N
    reads = trials[(trials["probe"] == "hidden") & (trials["distance"] == "euclidean")]
    first, second = np.triu_indices(N, 1)
    expected = 0.5 * (squares(LEVELS) + squares(LEVELS**2))[first, second]
    for layer in (0, 1):
        assert reads.loc[reads["layer"] == layer, "value"].to_numpy() == pytest.approx(expected)
    readout.images(benchmark.stimuli)
    assert encoder.seen == N, "the projections are kept for other kinds"
    hidden = [one for one in Representation.score(trials, common) if one.probe == "hidden"]
    assert {(one.metric, one.variant, one.layer) for one in hidden} == {
        ("alignment", variant, layer)
        for variant in ("cosine", "correlation", "euclidean")
        for layer in (0, 1)
    }


def test_the_variance_over_images_and_people_is_that_of_both_minus_that_of_their_pairs(
    objects, planted, tmp_path
):
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    common = Common(cache_dir=tmp_path, show_progress=False, n_resamples=0)
    benchmark = Representation(objects(person_noise=60.0), processor, KindSettings(), common)
    trials = benchmark.observe(Readout(planted(lambda pixels: [pixels[..., 0].mean(), 0.5])))
    numbers = Representation.score(trials, common)
    found = influences(Representation, trials, numbers)
    assert found.keys() == {one.number_key for one in numbers if one.role == "value"}
    one = next(
        one for one in numbers if (one.metric, one.role, one.variant) == ("alignment", "value", "cosine")
    )
    cells = one.influence.unstack("person")
    assert cells.sum().to_numpy() == pytest.approx(
        [by_person - one.value for by_person in _by_person(numbers)] / np.float64(len(cells.columns))
    )
    sums = (cells.sum(axis=1), cells.sum(axis=0), cells.to_numpy().ravel())
    squares = [np.square(part).sum() for part in sums]
    n_images, n_people = cells.shape
    shared = 1 / n_images + 1 / n_people - 1 / (n_images * n_people)
    assert found[one.number_key].variance == pytest.approx(
        (squares[0] + squares[1] - squares[2]) / (1 - shared)
    )
    assert found[one.number_key].n_clusters == min(cells.shape)


def _by_person(numbers):
    return [one.value for one in numbers if one.metric == "alignment_by_person" and one.role == "value"]


def test_one_person_and_two_images_are_refused(objects, source, colour, measure, planted):
    with pytest.raises(DatasetError, match="matrices of 1 people"):
        measure(Representation, objects(people=1), planted(red))
    with pytest.raises(DatasetError, match="2 readable images"):
        measure(Representation, source("dissimilarities", build_rows(colour)[:2]), planted(red))
    rows = build_rows(colour)
    rows[3]["dissimilarities"] = rows[3]["dissimilarities"][:2]
    with pytest.raises(DatasetError, match="different matrices"):
        measure(Representation, source("dissimilarities", rows), planted(red))


# Spearman, tau-a and Pearson of the published matrices with 16 people.
TABLE = {
    "lower": (0.4770, 0.3344, 0.5718),
    "upper": (0.5767, 0.4139, 0.6346),
    "categories": (0.4026, 0.1762, 0.4174),
    "model_animacy": (0.3776, 0.2181, 0.3777),
    "human_it": (0.2886, 0.1937, 0.2959),
    "monkey_it": (0.2714, 0.1820, 0.3239),
    "model_hmax": (0.1613, 0.1086, 0.1495),
    "pixels": (0.1007, 0.0672, 0.1211),
    "silhouette": (0.0906, 0.0608, 0.1184),
    "model_v1": (0.0693, 0.0465, 0.0695),
    "mean_colour": (0.0557, 0.0373, 0.0572),
    "pixels_euclidean": (0.0323, 0.0216, 0.0391),
}


@pytest.mark.slow
def test_the_published_matrices_of_92_objects_have_their_published_alignment(real_data, planted, tmp_path):
    source = open_source("objects92", ("dissimilarities",), data_dir=real_data("objects92"))
    processor = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    common = Common(cache_dir=tmp_path, show_progress=False, n_resamples=0)
    benchmark = Representation(source, processor, KindSettings(), common)
    trials = benchmark.observe(Readout(planted(red)))
    numbers = Representation.score(trials, common)
    whole = {
        (one.reference, one.metric): one.value for one in numbers if one.role != "value" and one.subset == ""
    }
    for name, published in TABLE.items():
        found = [whole[name, metric] for metric in ("alignment", "alignment_tau_a", "alignment_pearson")]
        assert [round(value, 4) for value in found] == list(published), name
    assert whole["another_person", "alignment"] == pytest.approx(0.3438, abs=5e-5)
    within = {
        one.reference: (one.value, one.n)
        for one in numbers
        if (one.metric, one.subset) == ("alignment", "within_categories")
    }
    assert within["lower"][0] == pytest.approx(0.5863, abs=5e-5)
    assert within["pixels_euclidean"] == (pytest.approx(0.1273, abs=5e-5), 727)
    persons = [one.value for one in numbers if one.reference == "others"]
    assert (min(persons), max(persons)) == pytest.approx((0.10, 0.69), abs=5e-3)
    assert persons[0] == min(persons)


@pytest.mark.slow
def test_the_published_standard_errors_come_out(real_data):
    held = np.load(real_data("objects92") / "rdms.npz")
    published = {"model_hmax": (0.038, 0.014, 0.038), "model_animacy": (0.027, 0.038, 0.045)}
    for name, errors in published.items():
        found = representational_similarity(held[name], held["behaviour"], n_resamples=1000)["variances"]
        assert np.sqrt([found.images, found.people, found.corrected]) == pytest.approx(errors, abs=0.003)
