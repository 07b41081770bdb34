"""Choices among alternatives: accuracy, recall, 2AFC, JND and odd one out, against scikit-learn and loops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, top_k_accuracy_score
from slow_formulas import average_precision

from hf_clipdyn.metrics.jnd_map import jnd_map
from hf_clipdyn.metrics.odd_one_out import leave_one_out_ceiling, odd_one_out, odd_one_out_scores
from hf_clipdyn.metrics.recall_at_k import recall_at_k
from hf_clipdyn.metrics.two_afc import two_afc
from hf_clipdyn.metrics.zero_shot_accuracy import zero_shot_accuracy

# --- zero-shot accuracy ------------------------------------------------------------------------------------------

SIZES = st.tuples(st.integers(1, 80), st.integers(6, 12), st.integers(0, 1000))


def scored(n, n_classes, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, n_classes)), rng.integers(0, n_classes, n)


@given(SIZES)
def test_accuracies_equal_scikit_learns(sizes):
    scores, truth = scored(*sizes)
    ranked = np.argsort(-scores, axis=1)
    result = zero_shot_accuracy(ranked, truth)
    labels = np.arange(scores.shape[1])
    assert result["top1"].value == pytest.approx(accuracy_score(truth, scores.argmax(axis=1)))
    assert result["top5"].value == pytest.approx(top_k_accuracy_score(truth, scores, k=5, labels=labels))
    assert result["chance"].value == 1 / scores.shape[1]
    assert result["top5_chance"].value == 5 / scores.shape[1]
    assert result.facts["n"] == len(truth)


def test_the_best_five_of_many_classes_suffice_when_their_number_is_given(agree):
    scores, truth = scored(200, 100, 0)
    ranked = np.argsort(-scores, axis=1)
    five = zero_shot_accuracy(ranked[:, :5], truth, n_classes=100)
    agree(five.report(), zero_shot_accuracy(ranked, truth).report())


def test_all_of_fewer_classes_than_five_are_the_first_five():
    few = zero_shot_accuracy([[1, 0, 2]], [2])
    assert few["top5"].value == few["top5_chance"].value == 1


# --- recall ------------------------------------------------------------------------------------------------------


def recall_by_hand(table, owner, k, n_shuffles, seed):
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
        to_text, to_image = recall_by_hand(table, owner, k, 2000 if ties else 1, seed=k)
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


# --- two alternatives --------------------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.2, 0.5, 1.0])),
    min_size=1,
    max_size=80,
)


@given(ROWS)
def test_two_afc_and_its_ceilings_equal_a_loop(rows):
    d0, d1, p = zip(*rows, strict=True)
    result = two_afc(d0, d1, p).report()
    loop = [(1 - p) if a < b else p if b < a else 0.5 for a, b, p in rows]
    assert result["two_afc"] == pytest.approx(np.mean(loop))
    assert result["human"] == pytest.approx(np.mean([q * q + (1 - q) ** 2 for *_, q in rows]))
    assert result["ceiling"] == pytest.approx(np.mean([max(q, 1 - q) for *_, q in rows]))
    assert result["two_afc"] <= result["ceiling"] + 1e-12
    assert result["n_ties"] == sum(a == b for a, b, _ in rows)


# --- just noticeable differences ---------------------------------------------------------------------------------

SAME = st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])
PAIRS = st.lists(st.tuples(st.integers(0, 30), SAME), min_size=1, max_size=60).filter(
    lambda pairs: any(same for _, same in pairs)
)


@given(PAIRS)
def test_the_average_precision_is_that_of_the_reference_procedure_for_distinct_distances(pairs):
    _, same = zip(*pairs, strict=True)
    distances = np.random.default_rng(len(same)).permutation(len(same))
    expected = average_precision(distances, same)
    assert jnd_map(distances, same)["jnd_map"].value == pytest.approx(expected)


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_changes_nothing_even_with_ties(pairs, random):
    value = jnd_map(*zip(*pairs, strict=True))["jnd_map"].value
    shuffled = random.sample(pairs, len(pairs))
    assert jnd_map(*zip(*shuffled, strict=True))["jnd_map"].value == pytest.approx(value)


def test_a_constant_distance_scores_the_share_of_same():
    assert jnd_map(np.zeros(60), np.repeat([1.0, 0.0], [20, 40]))["jnd_map"].value == pytest.approx(1 / 3)


# --- odd one out of three ----------------------------------------------------------------------------------------


def test_a_tie_shares_the_choice_of_the_odd_one():
    scores, chosen = odd_one_out_scores([[0, 0, 1], [1, 1, 0], [2, 2, 2], [1, 1, 0]], [2, 1, 0, 2])
    assert scores.tolist() == pytest.approx([1, 1 / 2, 1 / 3, 0])
    assert chosen.tolist() == [2, -1, -1, -1]
    found = odd_one_out([[0, 0, 1], [1, 1, 0]], [2, 1])
    assert (found["accuracy"].value, found.facts["n_ties"]) == (3 / 4, 1)


def test_the_ceiling_compares_each_answer_with_the_mode_of_the_others():
    rng = np.random.default_rng(1)
    triplets = [rng.choice(9, 3, replace=False) for _ in range(12)]
    shown = [rng.permutation(triplets[rng.integers(12)]) for _ in range(24)]
    odd = rng.integers(0, 3, 24)  # some triplets are judged once, or twice
    answers = [(tuple(sorted(one)), one[position]) for one, position in zip(shown, odd, strict=True)]
    counts = {key: Counter(answer for other, answer in answers if other == key) for key, _ in answers}
    expected = {}
    for key, answer in answers:
        others = counts[key] - Counter([answer])
        if not others:
            continue
        modes = [one for one, count in others.items() if count == max(others.values())]
        expected.setdefault(key, []).append((answer in modes) / len(modes))
    found = leave_one_out_ceiling(np.array(shown), odd)
    ceiling = found["ceiling"]
    assert ceiling.value == pytest.approx(
        np.mean([score for scores in expected.values() for score in scores])
    )
    assert list(map(tuple, found.facts["triplets"].tolist())) == sorted(expected)
    of_triplets = [np.sum(np.subtract(expected[key], ceiling.value)) for key in sorted(expected)]
    assert ceiling.influence == pytest.approx(np.array(of_triplets) / found.facts["n"])
    low, high = found.report()["ceiling_ci"]
    assert low < ceiling.value < high
