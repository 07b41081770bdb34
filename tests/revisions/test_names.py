import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.revisions.names import epoch_name, epoch_of, natural_key, step_name, step_of, training_order


def test_names_have_a_fixed_width_and_a_negative_number_has_none() -> None:
    assert [epoch_name(0), epoch_name(12), epoch_name(1234)] == ["epoch-000", "epoch-012", "epoch-1234"]
    assert [step_name(0), step_name(512)] == ["step-00000000", "step-00000512"]
    for name_of in (epoch_name, step_name):
        with pytest.raises(ConfigError, match="-1"):
            name_of(-1)


@pytest.mark.parametrize(
    ("name", "epoch", "step"),
    [
        ("epoch-003", 3, None),
        ("epoch_12", 12, None),
        ("Epoch4", 4, None),
        ("step1000", None, 1000),
        ("step1000-tokens4B", None, 1000),
        ("stage1-step5000-tokens21B", None, 5000),
        ("epoch-002-step-00000512", 2, 512),
        ("main", None, None),
        ("footstep3", None, None),
        ("step" + "9" * 19, None, None),
    ],
)
def test_the_names_of_other_suites_are_read(name: str, epoch: int | None, step: int | None) -> None:
    assert (epoch_of(name), step_of(name)) == (epoch, step)


def test_revisions_stand_by_step_then_by_the_numbers_in_their_names_and_main_is_last() -> None:
    ordered = [("epoch-000", 0), ("step2", None), ("b", 3), ("step10-a2", 10), ("step10-a10", 10)]
    ordered += [("epoch-002", None), ("epoch-010", None), ("x", None), ("main", 1)]
    backwards = ordered[::-1]
    assert sorted(backwards, key=lambda pair: training_order(*pair)) == ordered


@given(st.lists(st.text(max_size=40)))
def test_any_names_can_be_ordered(names: list[str]) -> None:
    keys = [natural_key(name) for name in names]
    backwards = keys[::-1]
    assert sorted(keys) == sorted(backwards)


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_names_of_epochs_and_steps_come_back_and_keep_their_order(low: int, high: int) -> None:
    low, high = sorted((low, high))
    for name_of, number_of in ((epoch_name, epoch_of), (step_name, step_of)):
        assert number_of(name_of(low)) == low
        assert natural_key(name_of(low)) <= natural_key(name_of(high))
