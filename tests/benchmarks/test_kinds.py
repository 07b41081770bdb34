"""What every kind and every relation declares about its settings, its trials and its words."""

import pytest

from hf_clipdyn.benchmarks.registry import kinds, kinds_read, relations
from hf_clipdyn.benchmarks.relation import relation_terms
from hf_clipdyn.results.row import NUMBER_KEY, ROLES
from hf_clipdyn.results.terms import Vocabulary


@pytest.mark.parametrize("name", kinds())
def test_a_kind_is_documented_and_its_words_fit_the_columns_of_a_row_and_each_other(name):
    kind = kinds()[name]
    terms = kind.terms
    assert kind.name == name
    assert "Trials:" in kind.__doc__
    assert kind.settings() == kind.settings(), "settings have defaults and compare by value"
    for one in terms.terms.values():
        assert one.title
        assert one.better in ("", "high", "low")
        assert one.perception in ("", "low", "middle", "high")
        assert one.limits is None or one.limits[0] < one.limits[1]
        assert {one.rests_on, one.mirrors} <= {"", *terms.terms}
        assert one.overview is None or one.overview.condition in ("", *terms.conditions)
    for one in terms.references:
        assert one.role in ROLES
        assert one.role not in ("value", "diagnostic")
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
