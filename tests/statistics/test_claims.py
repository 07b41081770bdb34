"""The file of claims: what it registers, and what it refuses."""

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from hf_clipdyn.errors import ClipDynError, ConfigError
from hf_clipdyn.statistics.claims import Claims, ClaimTest, GatePlan, read_claims, registered_hash
from hf_clipdyn.statistics.windows import Endpoint

_ENDPOINT = "{kind: noise, dataset: procedural, metric: accuracy}"
_CONTRAST = f"{{title: rise, endpoint: {_ENDPOINT}, weights: {{late: 1}}, smallest_effect: 0.1}}"
_MINE = f"""
level: 0.05
windows: [{{name: late, start: 0.9, end: 1}}]
studies: {{mine: {{title: my study}}}}
claims:
  - number: 1
    title: it rises
    studies:
      mine:
        parts: [{{contrast: {_CONTRAST}}}]
"""


def test_the_package_registers_all_eight_claims_for_three_studies():
    claims = read_claims()
    assert claims.level == 0.05
    assert [one.number for one in claims.claims] == list(range(1, 9))
    assert list(claims.studies) == ["world", "real", "full"]
    world = claims.studies["world"]
    assert (world.tuning_seeds, world.confirmatory_seeds) == ((0, 1), (10, 11, 12, 13, 14))
    by_number = {one.number: one.test("world") for one in claims.claims}
    assert [number for number, test in by_number.items() if not test.testable] == [3, 4, 8]
    assert [number for number, test in by_number.items() if not test.evidence] == [1]
    assert any("never called TID2013" in note for note in by_number[2].notes)
    assert [claims.n_testable(study) for study in claims.studies] == [5, 8, 8]


@pytest.mark.parametrize(
    ("number", "study", "effects"),
    [
        (1, "world", [0.05, 0.15]),
        (2, "world", [0.05, 0.05]),
        (2, "full", [0.03, 0.03]),
        (3, "full", [0.02, 0.02]),
        (4, "real", [0.02, 0.02]),
        (5, "world", [0.05]),
        (6, "world", [0.05, 0.05, 0.05, 0.05]),
        (8, "real", [0.1]),
    ],
)
def test_smallest_effects_are_those_of_the_plan(number, study, effects):
    test = next(one for one in read_claims().claims if one.number == number).test(study)
    assert [one.contrast.smallest_effect for one in test.parts] == effects


def test_what_the_package_registers_does_not_change():
    hashes = {study: registered_hash(read_claims(), study) for study in ("world", "real", "full", "none")}
    assert hashes == {
        "world": "200f6cfec16f9ae2db30fb31145976d06a800ae0ad46f678f26eb738d1be9797",
        "real": "a54a2e03e0e23b8cdb5229543baeb826483b656b441d2a11e8d8e7590ea8dd5c",
        "full": "89fec87b3e84690d7bc6cbae56ab5885885782a169db7cc94456adba559c5fac",
        "none": "",
    }


def test_the_second_study_does_not_change_after_its_registration(second: Claims):
    hashes = {study: registered_hash(second, study) for study in ("photographs", "world")}
    assert hashes == {
        "photographs": "488b74fcdb41a54c2c87c616f9c91e060c9188f5b22f7f1985aa6947cf14e84c",
        "world": "b35a3109e6d6b39cbcdd3708f1430177c90d49fea2291f01a746b91939c1a745",
    }


def test_published_checkpoints_have_windows_of_epochs_and_a_fixed_peak():
    claims = read_claims()
    assert claims.windows_of("full")["peak"].epochs == (1, 2)
    assert claims.windows_of("world")["early"].start == 0.1
    assert claims.is_located("real", "peak")
    assert not any(claims.is_located(study, "peak") for study in ("world", "full"))


def test_a_test_can_fix_a_window_of_its_own():
    """In the study on photographs, the tuning seeds have the peak of each claim at another step of 420."""
    claims = read_claims()
    steps = {2: (1, 2, 4), 3: (0, 1, 2), 4: (16, 32, 64)}  # between its neighbours
    for claim in claims.claims:
        test = claim.test("real")
        peak = claims.windows_of("real", test)["peak"]
        assert claims.is_located("real", "peak", test) == (claim.number not in steps)
        if claim.number in steps:
            inside = [peak.start <= step / 420 <= peak.end for step in steps[claim.number]]
            assert inside == [False, True, False]
    assert claims.windows_of("real")["peak"].end == 0.3


def _read(tmp_path: Path, text: str) -> Claims:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return read_claims(path)


def test_a_file_of_ones_own_has_the_same_form(tmp_path: Path):
    claims = _read(tmp_path, _MINE)
    assert claims.source == str(tmp_path / "mine.yaml")
    assert claims.benchmarks("mine") == {"noise/procedural"}
    assert not claims.claims[0].test("elsewhere").testable


_NAMED = """
level: 0.05
windows: [{name: late, start: 0.9, end: 1}]
studies:
  mine:
    title: my study
    endpoints:
      clean: {kind: noise, dataset: procedural, metric: accuracy}
      drop: {kind: noise, dataset: procedural, metric: relative_drop, condition: gaussian, levels: [0.1]}
    gates: {accurate: {title: accurate, rule: above chance, endpoint: clean, windows: [late]}}
  other:
    title: another study
    endpoints: {drop: {kind: noise, dataset: cifar10, metric: relative_drop}}
  third: {title: a third study}
claims:
  - number: 1
    title: it falls
    test:
      notes: [of all]
      parts: [{contrast: {title: fall, endpoint: drop, weights: {late: -1}, smallest_effect: 0.1}}]
    studies:
      mine:
        gates: [accurate]
        parts:
          - contrast: {title: arms, endpoint: drop, weights: {late: 1}, smallest_effect: 0.2}
            minus_arm: noise
            equal: accuracy
            accuracy: clean
        controls:
          - arm: swapped
            expects: reversed
            contrast: {title: none, endpoint: clean, weights: {late: 1}, smallest_effect: 0.1}
      other: {}
      third: {testable: false, cause: it cannot}
"""


def test_names_stand_for_the_endpoints_and_gates_of_their_study(tmp_path: Path):
    mine, other, third = (
        _read(tmp_path, _NAMED).claims[0].studies[name] for name in ("mine", "other", "third")
    )
    clean = Endpoint(kind="noise", dataset="procedural", metric="accuracy")
    drop = replace(clean, metric="relative_drop", condition="gaussian", levels=(0.1,))
    (part,) = mine.parts
    assert (part.contrast.endpoint, part.accuracy) == (drop, clean)
    assert mine.controls[0].contrast.endpoint == clean
    assert mine.gates == (GatePlan(title="accurate", rule="above chance", endpoint=clean, windows=("late",)),)
    assert [one.contrast.title for one in other.parts] == ["fall"]
    assert other.parts[0].contrast.endpoint == replace(clean, dataset="cifar10", metric="relative_drop")
    assert mine.notes == other.notes == ("of all",)
    assert third == ClaimTest(testable=False, cause="it cannot")


def test_a_file_with_names_is_the_same_as_one_that_is_written_out(tmp_path: Path):
    named = _MINE.replace("title: my study", f"title: my study, endpoints: {{clean: {_ENDPOINT}}}")
    named = named.replace(f"endpoint: {_ENDPOINT}", "endpoint: clean", 1)
    assert "endpoint: clean" in named
    assert _read(tmp_path, named) == _read(tmp_path, _MINE)


_WRONG_NAMES = [
    (
        "accuracy: clean",
        "accuracy: clen",
        "no endpoint in {}: 'clen'. Did you mean 'clean'? Known: clean, drop",
    ),
    ("endpoint: clean, windows", "endpoint: clea, windows", "no endpoint in {}: 'clea'. Did"),
    ("gates: [accurate]", "gates: [exact]", "no gate in {}: 'exact'. Known: accurate"),
    ("gates: {accurate", "gates: {[accurate]", "no gate in {}: 'accurate'"),
    (
        "metric: accuracy}",
        "metrik: accuracy}",
        "{}: endpoints.clean has the unknown key metrik. Did you mean metric?",
    ),
    ("rule: above chance", "rule: high", "{}: gates.accurate.rule is 'high': Input should be"),
    (
        "endpoints: {drop: {kind: noise, dataset: cifar10, metric: relative_drop}}",
        "endpoints: [a]",
        "(study 'other'): endpoints: Input should be a valid dictionary",
    ),
    (
        "      clean: {kind",
        "      clean: clean\n      c: {kind",
        "endpoints.clean is 'clean': Input should be a dictionary",
    ),
    (
        "    test:\n",
        "    test: [1]\n    tests:\n",
        "test of claim 1 in {file} is a list of 1: give a mapping",
    ),
    ("      notes: [of all]", "      note: [of all]", "has the unknown key note. Did you mean notes?"),
    ("      third: {testable", "      fourth: {testable", "There is no study (of claim 1, {file}) 'fourth'"),
    ("other: {}", "other: {gates: [accurate]}", "(study 'other') names no gates: define 'accurate' under"),
    ("- arm: swapped", "- arm: ''", "The control 'none' needs an arm and what it expects"),
    (
        "            minus_arm: noise",
        "            minus_arm: noise\n            expects: reversed",
        "The part 'arms' expects 'reversed': list it",
    ),
]


@pytest.mark.parametrize(("old", "new", "says"), _WRONG_NAMES)
def test_a_wrong_name_is_one_sentence(tmp_path: Path, old: str, new: str, says: str):
    assert old in _NAMED
    with pytest.raises(ConfigError) as error:
        _read(tmp_path, _NAMED.replace(old, new, 1))
    file = str(tmp_path / "mine.yaml")
    assert says.replace("{file}", file).replace("{}", f"{file} (study 'mine')") in str(error.value)
    assert "\n" not in str(error.value)


_WRONG_FILES = [
    ("start: 0.9", "start: 2", "windows.0: The window 'late' goes from 2.0 to 1.0"),
    ("start: 0.9, ", "", "windows.0: The window 'late' goes from None to 1"),
    ("smallest_effect: 0.1", "smallest_effect: 0", "contrast: smallest_effect of 'rise' is 0"),
    (
        "smallest_effect: 0.1",
        "smalest_effect: 0.1",
        "has the unknown key smalest_effect. Did you mean smallest_effect?",
    ),
    ("{late: 1}", "{lat: 1}", "There is no window (of claim 1, mine) 'lat'. Did you mean 'late'"),
    ("{late: 1}", "{late: much}", "weights.late is 'much': Input should be a valid number"),
    ("{late: 1}", "{late: .inf}", "weights.late is 'inf': Input should be a finite number"),
    ("level: 0.05", "level: 5", "level is '5': Input should be less than or equal to 0.5"),
    ("level: 0.05", "level: 0.05\nlevel: 0.1", "level is there twice"),
    ("mine:\n", "yours:\n", "There is no study (of claim 1, "),
    ("number: 1", "number: true", "claims.0.number is 'true': Input should be a valid integer"),
    ("parts: [", "rule: most, parts: [", "not valid YAML in line"),
    ("        parts:", "        rule: most\n        parts:", "rule is 'most': Input should be 'all parts'"),
    ("        parts:", "        testable: false\n        parts:", "needs its cause"),
    ("number: 1", "number: 1\n    title: &a x\n    statement: *a", "in line 7: an alias"),
    ("studies: {mine: {title: my study}}", "studies: {}", "studies is empty"),
]


@pytest.mark.parametrize(("old", "new", "says"), _WRONG_FILES)
def test_a_wrong_file_is_one_sentence_with_the_place(tmp_path: Path, old: str, new: str, says: str):
    assert old in _MINE
    with pytest.raises(ClipDynError, match=re.escape(says)) as error:
        _read(tmp_path, _MINE.replace(old, new, 1))
    assert str(tmp_path / "mine.yaml") in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_deviations_are_read_and_are_no_part_of_what_is_registered(tmp_path: Path):
    named = _NAMED.replace("title: my study", "title: my study\n    deviations: [of the study]")
    named = named.replace("gates: [accurate]", "gates: [accurate]\n        deviations: [of the claim]")
    claims = _read(tmp_path, named)
    assert claims.studies["mine"].deviations == ("of the study",)
    assert claims.claims[0].test("mine").deviations == ("of the claim",)
    assert claims == _read(tmp_path, _NAMED)


def test_the_package_lists_the_deviations_of_its_two_studies():
    claims = read_claims()
    found = {study: " ".join(plan.deviations) for study, plan in claims.studies.items()}
    assert "minimum detectable effects" in found["world"]
    assert "four" in found["real"]
    assert found["full"] == ""
    by_number = {one.number: " ".join(one.test("world").deviations) for one in claims.claims}
    assert "`micro` passes it" in by_number[6]
    assert [number for number, words in by_number.items() if "three of the five" in words] == [1, 6]


# A phrase of each deviation in claims.yaml, and one of the row that has it in the table of docs/explanation/study.md.
_DEVIATIONS = {
    "minimum detectable effects": "minimum detectable effects",
    "`micro` passes it": "`micro` passes too",
    "have three of the five": "arms with the five seeds",
    "twice the training, and fresh images": "twice the training and with fresh images",
    "names three sensitivities": "claim 5 also by probe",
    "high-pass accuracy by epoch": "high-pass accuracy by epoch",
    "shows pixels": "pixels beside claim 2",
    "had twelve epochs": "photographs: twelve epochs, five seeds",
    "registered seeds were run": "photographs: twelve epochs, five seeds",
}


def test_the_table_of_deviations_in_the_docs_has_those_of_the_package_and_no_others(checkout: Path):
    text = (checkout / "docs" / "explanation" / "study.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (.*) \|$", text.partition("## Deviations from the plan\n")[2].partition("\n## ")[0], re.M
    )[2:]
    claims = read_claims()
    sentences = [words for plan in claims.studies.values() for words in plan.deviations]
    tests = [test for claim in claims.claims for test in claim.studies.values()]
    sentences += [words for test in tests for words in test.deviations]
    phrases = {words: [row for phrase, row in _DEVIATIONS.items() if phrase in words] for words in sentences}
    assert {words: len(of) for words, of in phrases.items()} == dict.fromkeys(sentences, 1)
    named = {phrase for of in phrases.values() for phrase in of}
    assert [sum(phrase in row for phrase in named) for row in rows] == [1] * len(rows)
    assert named == set(_DEVIATIONS.values())


def test_what_is_no_text_file_is_refused(tmp_path: Path):
    for content in (b"\xff\xfe", b"", b"[]", b"level: 0.05", b"\0"):
        path = tmp_path / "wrong.yaml"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"wrong\.yaml"):
            read_claims(path)
    with pytest.raises(ConfigError, match="Is a directory"):
        read_claims(tmp_path)


def test_the_shipped_file_says_how_it_is_used_and_when_it_may_change():

    head = (
        files("hf_clipdyn.statistics").joinpath("claims.yaml").read_text(encoding="utf-8").split("level:")[0]
    )
    assert "clipdyn report RESULTS... --print verdicts" in " ".join(head.replace("\n#", "").split())
    assert "after it, never" in head
    assert yaml.safe_load(head) is None


@pytest.fixture(scope="module")
def second(checkout: Path) -> Claims:
    """The registered claims of the second study."""
    return read_claims(checkout / "model_cards" / "second-study" / "claims-2.yaml")


def test_the_second_study_has_the_families_of_its_design(second: Claims):
    assert (second.level, second.rule, second.readouts_count) == (0.05, "ten words", True)
    sizes = {
        (study, family): second.n_testable(study, family)
        for study in ("photographs", "world")
        for family in ("", "A", "B", "control")
    }
    assert {key: size for key, size in sizes.items() if size} == {
        ("photographs", "A"): 3,
        ("photographs", "B"): 4,
        ("world", "A"): 4,
        ("world", "B"): 2,
        ("world", "control"): 1,
    }
    assert [plan.tuning_seeds for plan in second.studies.values()] == [(0, 1), (0, 1)]


# Of each test the δ of its parts, and the places of its gates.
_DESIGN = {
    ("photographs", 1): ([0.05, 0.05, 0.05, 0.15], ["bias by prompts", "bias by prompts"]),
    ("photographs", 5): ([0.05, 0.05], [""]),
    ("photographs", 8): ([0.1], ["", ""]),
    ("photographs", 21): ([0.05], []),
    ("photographs", 22): ([0.05, 0.05], []),
    ("photographs", 23): ([0.05, 0.05], []),
    ("photographs", 24): ([0.1, 0.1], [""]),
    ("world", 1): ([0.05, 0.15], [""]),
    ("world", 5): ([0.05, 0.05], [""]),
    ("world", 6): ([0.05, 0.05, 0.05, 0.05], [""]),
    ("world", 12): ([0.1, 0.1], ["bias by prompts"]),
    ("world", 13): ([0.15, 0.15], ["bias by prompts"]),
    ("world", 25): ([0.1, 0.05], []),
    ("world", 26): ([0.15], []),
}


def test_the_second_study_has_the_smallest_effects_and_gates_of_its_design(second: Claims):
    found = {
        (study, claim.number): (
            [part.contrast.smallest_effect for part in test.parts],
            [gate.readout for gate in test.gates],
        )
        for claim in second.claims
        for study, test in claim.studies.items()
        if test.testable
    }
    assert found == _DESIGN
    silent = {
        claim.number for claim in second.claims if not any(one.testable for one in claim.studies.values())
    }
    assert silent == {2, 3, 4, 7}


def test_arms_of_the_second_study_are_those_of_the_recipe_and_their_weights_are_a_contrast(second: Claims):
    named = set()
    for claim in second.claims:
        for part in claim.test("world").parts + claim.test("world").controls:
            named |= set(part.arm_weights)
            assert not part.arms or sum(part.arms.values()) == 0
    assert named == {"", "noise", "easy-100", "hard-80", "hard-100"}
