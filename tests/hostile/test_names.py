"""The id of a repository is one that the Hub and its client accept, before the first file is written."""

import pytest
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from hf_clipdyn.errors import ConfigError
from hf_clipdyn.hub import is_repo_id, valid_repo_name
from hf_clipdyn.training.config import TrainingConfig

NO_IDS = [
    *("", " ", "a b/c", "../../evil", "/etc", "me/", "/run", "a/b/c", "--lead", "-x/y", "x" * 97),
    *("me/run-", "me/.run", "me/run.git", "me/a..b", "me/a--b", 'me/"run"', "me/run\n", "me/r\0un"),
    *("me/r\x1b[31mun", "me/café", "me/$\\frac{$", "me/<script>", "me/" + "x" * 5000),
    *("{scale.__class__}", "me/{seed.nosuch}", "me/{}", "me/{0}", "me/{seed!r}"),
]


@pytest.mark.parametrize("name", NO_IDS)
def test_a_run_with_an_id_that_the_hub_does_not_accept_is_refused_when_it_is_configured(name: str) -> None:
    with pytest.raises(ConfigError, match="hub_model_id ") as found:
        TrainingConfig(hub_model_id=name)
    assert len(str(found.value)) < 400
    assert str(found.value).isprintable()


def test_to_be_pushed_an_id_needs_an_owner() -> None:
    assert TrainingConfig(hub_model_id="run").repository == "run"
    with pytest.raises(ConfigError, match="'run'"):
        TrainingConfig(hub_model_id="run", push_to_hub=True)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("my run (2)", "my-run-2"),
        ("--lead", "lead"),
        ("a..b--c", "a.b-c"),
        ("x.git", "x"),
        ("läufe", "l-ufe"),
        ("...", "run"),
    ],
)
def test_a_folder_gives_the_nearest_valid_name(folder: str, name: str) -> None:
    assert valid_repo_name(folder) == name


@given(st.text("ab.-_/git\n é", max_size=12) | st.text(max_size=120) | st.text("a/", max_size=200))
def test_an_id_is_one_that_the_client_accepts(text: str) -> None:
    try:
        validate_repo_id(text)
    except ValueError:
        assert not is_repo_id(text)
    else:
        assert is_repo_id(text) == text.isascii()


@given(st.text(max_size=120) | st.text("ab.-_ g it", max_size=120))
def test_any_folder_gives_a_valid_name_that_stays_as_it_is(folder: str) -> None:
    name = valid_repo_name(folder)
    assert is_repo_id(f"local/{name}")
    assert valid_repo_name(name) == name
