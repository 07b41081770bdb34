"""What every kind declares about its settings, its trials and its words."""

from hf_clipdyn.benchmarks.registry import kinds
from hf_clipdyn.results.row import NUMBER_KEY, ROLES
from hf_clipdyn.results.terms import Vocabulary


def test_declarations_fit_the_columns_of_a_row_and_each_other():
    for kind in kinds().values():
        terms = kind.terms
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


def test_settings_have_defaults():
    for kind in kinds().values():
        assert kind.settings() == kind.settings(), "settings have defaults and compare by value"


def test_words_survive_the_metadata_of_a_file():
    words = Vocabulary(kinds={name: kind.terms for name, kind in kinds().items()})
    assert Vocabulary.loads(words.dumps(), "a test") == words


def test_kinds_are_shown_in_an_order_of_their_own():
    ranks = [kind.terms.rank for kind in kinds().values()]
    assert len(set(ranks)) == len(ranks)
