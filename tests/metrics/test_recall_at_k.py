"""Retrieval recall against a loop that shuffles ties, and its chance level."""

import numpy as np
import pytest

from hf_clipdyn.metrics.recall_at_k import recall_at_k


def brute_force(table, owner, k, n_shuffles, seed):
    """Rank after adding a random tie-breaker, many times."""
    rng = np.random.default_rng(seed)
    to_text, to_image = [], []
    for _ in range(n_shuffles):
        broken = table + 1e-6 * rng.random(table.shape)
        texts = np.argsort(-broken, axis=1)[:, :k]
        to_text.append(np.mean([any(owner[c] == i for c in row) for i, row in enumerate(texts)]))
        images = np.argsort(-broken, axis=0)[:k]
        to_image.append(np.mean([owner[c] in images[:, c] for c in range(len(owner))]))
    return np.mean(to_text), np.mean(to_image)


@pytest.mark.parametrize("ties", [False, True])
def test_recall_equals_a_loop_with_random_tie_breaking(ties):
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(8), 3)
    table = rng.normal(size=(8, 24)) + 2 * (owner == np.arange(8)[:, None])
    if ties:
        table = table.round()
    result = recall_at_k(table, owner, ks=(1, 3)).report()
    for k in (1, 3):
        to_text, to_image = brute_force(table, owner, k, 2000 if ties else 1, seed=k)
        assert result[f"image_to_text_recall_at_{k}"] == pytest.approx(to_text, abs=0.02 if ties else 1e-12)
        assert result[f"text_to_image_recall_at_{k}"] == pytest.approx(to_image, abs=0.02 if ties else 1e-12)


def test_collapsed_embeddings_score_exactly_chance_and_chance_is_that_of_random_scores():
    owner = np.repeat(np.arange(20), 5)
    collapsed = recall_at_k(np.zeros((20, 100)), owner).report()
    random = [recall_at_k(np.random.default_rng(s).random((20, 100)), owner).report() for s in range(200)]
    for way in ("image_to_text", "text_to_image"):
        for k in (1, 5, 10):
            chance = collapsed[f"{way}_chance_at_{k}"]
            assert collapsed[f"{way}_recall_at_{k}"] == pytest.approx(chance)
            assert np.mean([r[f"{way}_recall_at_{k}"] for r in random]) == pytest.approx(chance, abs=0.02)


def test_the_influence_of_an_image_is_what_its_texts_add_to_the_mean():
    table = [[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.1, 0.9]]  # the third text finds the wrong image
    found = recall_at_k(table, [0, 0, 1, 1], ks=(1,))["text_to_image_recall_at_1"]
    assert found.value == 0.75
    assert found.influence.tolist() == [(2 - 1.5) / 4, (1 - 1.5) / 4]
