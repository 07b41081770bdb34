"""Every option of every command: Python, a YAML file and flags give the same object, or all refuse."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from hf_clipdyn.cli import command_class, command_names
from hf_clipdyn.errors import ClipDynError
from hf_clipdyn.options import Options, form_of, members, read_yaml

# argparse takes a value `--` for the end of the options.
TEXTS = (
    st.text("abcxyz019.-_/ @{}", min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda text: text not in ("", "--"))
)
NUMBERS = st.sampled_from([0, 1, 2, 5, 0.5, 0.1, 1e-6, 3.0, -1, 1.5, 10**9, math.inf, math.nan, "x", ""])


def values_of(field: FieldInfo) -> st.SearchStrategy[Any]:
    """Right and wrong values of an option, as Python has them."""
    form, kinds = form_of(field), members(field.annotation)
    if form == "switch":
        return st.one_of(st.booleans(), st.sampled_from(["yes", "off", "maybe", 2]))
    if form == "pairs":
        return st.dictionaries(st.text("abc", min_size=1), TEXTS, min_size=1, max_size=2)
    if form == "values":
        kinds = members(next(get_args(kind)[0] for kind in kinds if get_origin(kind) is tuple))
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if choices:
        one: st.SearchStrategy[Any] = st.sampled_from([*choices, "other"])
    else:
        one = NUMBERS if {int, float} & set(kinds) else st.one_of(TEXTS, TEXTS, st.integers(0, 99))
    return st.lists(one, min_size=1, max_size=3) if form == "values" else one


def words_of(command: type[Options], fields: Mapping[str, FieldInfo], values: Mapping[str, Any]) -> list[str]:
    """The command line that gives these values."""
    words, after = [], []
    for key in sorted(values, key=list(fields).index):
        value, form = values[key], form_of(fields[key])
        texts = [f"{name}={path}" for name, path in value.items()] if form == "pairs" else value
        if key in command.positional:
            after += map(str, texts) if form == "values" else [str(value)]
        elif form == "switch" and isinstance(value, bool):
            words.append(f"--{key}" if value else f"--no-{key.replace('_', '-')}")
        elif form in ("values", "pairs"):
            words += [f"--{key}={text}" for text in texts]
        else:
            words.append(f"--{key.replace('_', '-')}={value}")
    return [*words, *(["--", *after] if after else [])]


@pytest.mark.parametrize("name", [name for name in command_names() if name != "env"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_python_a_file_and_flags_give_the_same_object_or_all_refuse(name: str, data: st.DataObject) -> None:
    command: type[Options] = command_class(name)
    fields = command.option_fields()
    chosen = data.draw(st.lists(st.sampled_from(list(fields)), max_size=3, unique=True))
    needed = [key for key, field in fields.items() if field.is_required() and key not in chosen]
    values = {key: data.draw(values_of(fields[key]), label=key) for key in chosen}
    values |= {key: ["a/b"] if form_of(fields[key]) == "values" else "b" for key in needed}

    def from_file() -> Options:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "options.yaml"
            file.write_text(yaml.safe_dump(values), encoding="utf-8")
            return command.read(["--config", str(file)]) if command.file_help else command(**read_yaml(file))

    made, refused = [], []
    words = words_of(command, fields, values)
    for make in (lambda: command(**values), from_file, lambda: command.read(words)):
        try:
            made.append(make())
        except ClipDynError as error:
            refused.append(str(error))
    assert len(made) in (0, 3), (values, words, refused)
    assert "\n" not in "".join(refused)
    assert all(one == made[0] for one in made), (values, words)
