"""What every kind and every relation declares, and what each item contributes to the numbers of every kind."""

import numpy as np
import pandas as pd
import pytest
from made_trials import TRIALS

from hf_clipdyn.benchmarks.registry import kind_named, kinds, kinds_read, relations
from hf_clipdyn.benchmarks.relation import relation_terms
from hf_clipdyn.results.row import NUMBER_KEY, ROLES
from hf_clipdyn.results.terms import Vocabulary

ONE_WAY = sorted(set(TRIALS) - {"representation/objects92"})  # tests/metrics/test_rsa.py has both of its ways
LEFT_OUT = 6


@pytest.mark.parametrize("name", kinds())
def test_the_words_of_a_kind_fit_the_columns_of_a_row_and_each_other(name):
    terms = kinds()[name].terms
    for one in terms.terms.values():
        assert {one.rests_on, one.mirrors} <= {"", *terms.terms}
        assert one.overview is None or one.overview.condition in ("", *terms.conditions)
    for one in terms.references:
        assert one.role in set(ROLES) - {"value", "diagnostic"}
        assert set(one.joins) <= set(NUMBER_KEY)
    named = [(one.role, one.name) for one in terms.references]
    assert len(set(named)) == len(named)


def test_kinds_have_an_order_of_their_own_and_their_words_survive_the_metadata_of_a_file():
    ranks = [kind.terms.rank for kind in kinds().values()]
    assert len(set(ranks)) == len(ranks)
    words = Vocabulary(kinds={name: kind.terms for name, kind in kinds().items()})
    assert Vocabulary.loads(words.dumps(), "a test") == words


def test_every_relation_asks_a_question_of_its_own_and_keeps_the_words_of_the_kind_that_it_reads():
    questions = [relation.terms.question for relation in relations().values()]
    assert len(set(questions)) == len(questions)
    assert all(question.endswith("?") for question in questions)
    for relation in relations().values():
        for kind in kinds_read(relation).values():
            terms = relation_terms(relation, kind.terms)
            assert terms.of == kind.terms.title
            assert list(terms.terms) == list(relation.terms.terms)
            assert (terms.level, terms.conditions) == (kind.terms.level, kind.terms.conditions)


# --- influences, against scoring the trials again without some of the items --------------------------------


@pytest.mark.parametrize("benchmark", ONE_WAY)
def test_an_item_contributes_to_a_number_what_leaving_it_out_changes(benchmark: str) -> None:
    kind = kind_named(benchmark.partition("/")[0])
    trials = TRIALS[benchmark](np.random.default_rng(0), 0.45)

    def values(rows: pd.DataFrame) -> dict[object, float]:
        return {one.number_key: one.value for one, _ in kind.score(rows)}

    whole = values(trials)
    (way,) = {"exemplar", "item"} & set(trials) - ({"item"} if "exemplar" in trials else set())
    item_of = trials.drop_duplicates("item").set_index("item", drop=False)[way]
    names = trials[way].unique()
    some = names[:: max(1, len(names) // LEFT_OUT)]
    without = pd.DataFrame([values(trials[trials[way] != name]) for name in some])
    compared = set()
    for one in (number for number, _ in kind.score(trials) if number.role == "value"):
        # Groups are left out by the metric itself; what an image does as a mate shows in the trials, not in the score.
        known = one.influence
        if known is None or known.index.name not in ("item", way) or "preference" in one.metric:
            continue
        of_names = known if known.index.name == way else known.groupby(item_of).sum()
        assert of_names.sum() == pytest.approx(0, abs=1e-9), one.number_key
        expected = (whole[one.number_key] - without[one.number_key]) * (len(names) - 1) / len(names)
        found = of_names.reindex(some, fill_value=0.0).to_numpy()
        error = np.sqrt(np.square(found - expected).mean())
        assert error <= 0.2 * of_names.std() + 1e-9, one.number_key
        compared.add(one.metric)
    assert compared
