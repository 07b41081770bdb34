import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.revisions.suite import gaps, missing_numbers, numbered

POWERS = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def thousands(first: int, last: int, stride: int = 1) -> list[int]:
    return list(range(first * 1000, last * 1000 + 1, stride * 1000))


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([], []),
        ([5], []),
        ([0, 1, 2, 3], []),
        ([0, 1, 2, 4], [3]),
        ([1, 2, 4, 5], [3]),
        ([2, 4, 6, 8, 10, 14], [12]),
        ([500, 1500, 2500, 4500, 5500], [3500]),
    ],
)
def test_what_a_grid_lacks_follows_from_its_stride(numbers: list[int], missing: list[int]) -> None:
    assert list(missing_numbers(numbers)) == missing


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        (POWERS, []),
        ([*POWERS, 1000], []),
        ([*POWERS, 1000, 2000], []),
        ([*POWERS, *thousands(1, 143)], []),
        ([*POWERS, 1024, 2048, 3072, 4096, 6144], [5120]),
        ([0, 1, 2, 8, 16, 1000, 2000, 3000], [4]),
        ([0, 1, 2, 4, 2000, 3000, 4000], [1000]),
        ([1, 2, 4, 8, 9, 10, 11], [3, 5, 6, 7]),
    ],
)
def test_powers_of_two_before_a_grid_are_no_gaps(numbers: list[int], missing: list[int]) -> None:
    assert list(missing_numbers(numbers)) == missing


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ([*thousands(0, 10), *thousands(15, 60, 5)], []),
        ([*thousands(0, 10), 20_000, *thousands(25, 60, 5)], [15_000]),
        ([*thousands(0, 10), 12_000, 14_000, 16_000, *thousands(17, 30)], [11_000, 13_000, 15_000]),
        ([150, 600, 700, 850, 900, *thousands(1, 20)], []),
        ([*thousands(0, 143), 143_091], []),
    ],
)
def test_a_stride_may_change_but_holes_in_a_finer_grid_are_gaps(
    numbers: list[int], missing: list[int]
) -> None:
    assert list(missing_numbers(numbers)) == missing


@given(st.sets(st.integers(0, 300)))
def test_what_is_missing_lies_between_the_numbers_and_is_none_of_them(numbers: set[int]) -> None:
    missing = list(missing_numbers(numbers))
    assert len(set(missing)) == len(missing)
    assert not set(missing) & numbers
    assert all(min(numbers) < one < max(numbers) for one in missing)


@pytest.mark.parametrize(
    ("name", "before", "number", "after"),
    [
        ("step1000", "step", 1000, ""),
        ("stage2-ingredient1-step1000-tokens5B", "stage2-ingredient1-step", 1000, "-tokens*"),
        ("epoch-002-step-00000512", "epoch-*-step-", 512, ""),
        ("runs/Model_epochs32/epoch_3.pt", "runs/Model_epochs32/epoch_", 3, ".pt"),
        ("global_step95000", "global_step", 95_000, ""),
        ("ckpt_007", "ckpt_", 7, ""),
    ],
)
def test_a_name_is_split_at_its_last_number(name: str, before: str, number: int, after: str) -> None:
    found = numbered(name)
    assert found is not None
    assert (found.before, found.number, found.after) == (before, number, after)


@pytest.mark.parametrize("name", ["main", "footstep3", "v1.0", "step", ""])
def test_other_names_have_no_number(name: str) -> None:
    assert numbered(name) is None


def test_each_stage_is_a_sequence_of_its_own_and_a_gap_is_named_as_the_suite_would() -> None:
    names = [
        *(f"stage1-step{step}-tokens{step // 250}B" for step in (1000, 2000, 4000, 5000)),
        *(f"stage2-step{step}-tokens{step // 250}B" for step in (3000, 4000)),
        *(f"step-{step:06d}" for step in (0, 10, 20, 40)),
    ]
    assert [(gap.name, gap.after) for gap in gaps(names)] == [
        ("stage1-step3000-tokens*", "stage1-step2000-tokens8B"),
        ("step-000030", "step-000020"),
    ]


def test_a_number_that_is_there_in_another_spelling_is_said_so() -> None:
    (gap,) = gaps(["step1000", "step2000", "step-3000", "step4000", "step5000"])
    assert (gap.name, gap.spelling) == ("step3000", "step-3000")


def test_of_endless_gaps_the_first_hundred_are_listed() -> None:
    found = list(gaps(["step1", "step2", "step3", "step4", f"step{10**17}"]))
    assert len(found) == 100
    assert [gap.last for gap in found] == [False] * 99 + [True]


def test_exactly_a_hundred_gaps_are_all_of_them() -> None:
    found = list(gaps([f"step{step}" for step in (1, 2, 3, 4, 105)]))
    assert len(found) == 100
    assert not found[-1].last
