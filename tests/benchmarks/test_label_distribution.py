"""Planted observers of doubtful images."""

import numpy as np
import pytest

from hf_clipdyn.benchmarks.kinds.label_distribution import LabelDistribution
from hf_clipdyn.benchmarks.sources import open_source

CLASSES = ("cat", "dog", "ship")
SCALE = 20.0


@pytest.fixture
def doubted(source, colour):
    """Sixty images; their colour names the shares of forty people's answers."""
    rng = np.random.default_rng(0)
    rows, shares = [], {}
    for number in range(60):
        label = number // 20
        counts = rng.multinomial(34, rng.dirichlet([0.7, 0.7, 0.7])) + 1
        counts[label] += 6
        counts = np.roll(np.sort(counts), label + 1)
        rows.append({"image": colour(number, 99), "label": CLASSES[label], "counts": counts.tolist()})
        shares[number] = counts / counts.sum()
    return source("label_counts", rows, CLASSES), shares


@pytest.fixture
def observer(planted):
    """`observer(log_probabilities)`: an encoder with these by image: over ``SCALE``, as cosines."""

    def build(log_probabilities):
        def image(pixels):
            cosines = np.asarray(log_probabilities(int(pixels[0, 0, 0]))) / SCALE
            return [*cosines, np.sqrt(max(1 - (cosines**2).sum(), 0))]

        encoder = planted(image, lambda text: np.eye(4)[[name in text for name in CLASSES].index(True)])
        encoder.logit_scale = SCALE
        return encoder

    return build


def test_an_observer_with_the_shares_of_people_reaches_their_entropy(doubted, measure, observer):
    source, shares = doubted
    found = measure(LabelDistribution, source, observer(lambda number: np.log(shares[number])))
    bound = found("cross_entropy", probe="", role="lower_bound")
    one = found("cross_entropy")
    assert one.value == pytest.approx(bound.value, abs=1e-5)
    assert one.interpretable is True
    assert found("cross_entropy", probe="", role="chance").value == pytest.approx(np.log(3))
    assert found("kl").value == pytest.approx(0, abs=1e-5)
    assert found("entropy_spearman").value == pytest.approx(1, abs=0.01)
    fitted = found("cross_entropy", variant="fitted_temperature")
    assert fitted.value == pytest.approx(bound.value, abs=0.01)
    assert found("entropy_spearman", probe="", role="ceiling", reference="half").value < 1


def test_an_observer_that_knows_the_label_alone_says_nothing_about_people(doubted, measure, observer):
    source, _ = doubted

    def label_alone(number):
        return np.log(np.where(np.arange(3) == number // 20, 0.95, 0.025))

    found = measure(LabelDistribution, source, observer(label_alone))
    one = found("cross_entropy")
    floor = found("cross_entropy", probe="", role="baseline", reference="label_and_class")
    assert floor.value < one.value
    assert one.interpretable is False
    assert one.note.startswith(f"not below {floor.value:.4f}")
    assert found("kl").interpretable is False
    assert found("top1").value == 1
    assert "constant" in found("entropy_spearman").note


def test_the_images_lie_beside_the_counts(real_data):
    real_data("cifar10")
    source = open_source("cifar10h", ("label_counts",), data_dir=real_data("cifar10h"))
    assert (len(source.dataset), source.absent) == (2000, 8000)
    row = source.dataset[0]
    assert (row["label"], row["counts"]) == (0, [38, 0, 8, 0, 1, 0, 1, 0, 2, 1])
