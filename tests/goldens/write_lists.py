"""Write two lists, so that what goes missing is a line of a diff, which belongs in the changelog::

    python tests/goldens/write_lists.py

numbers.tsv       what tells one number of results.parquet from another, by kind, and whether version 0.4 keeps it
public_names.txt  the public names of Python with their signatures, and the commands with their options

`test_lists.py` compares them with the table and with the code. Run `write.py` first where numbers have changed.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # the tests' own modules

# --- numbers ---

COLUMNS = [
    "kind",
    "metric",
    "variant",
    "role",
    "reference",
    "probe",
    "layer",
    "subset",
    "condition",
    "level",
    "parameter",
    "texts",
]
"""What tells numbers of a kind apart; each kind has one data set in the goldens."""

Values = tuple[str, ...]

GOES: list[dict[str, str | Values]] = [
    {"kind": "psychophysics", "condition": ("masking_orientation", "masking_frequency", "csf_red_green")},
    {"kind": "label_distribution", "metric": ("label_spearman", "off_label_pearson", "second_choice")},
    {"kind": "odd_one_out", "metric": ("most_frequent", "same_objects")},
    {"kind": "representation", "metric": ("alignment_tau_a", "alignment_pearson", "alignment_by_person")},
    {"kind": "representation", "metric": "alignment_it"},
    {"kind": "representation", "subset": "within_categories"},
    {"kind": "representation", "reference": ("human_it", "monkey_it", "model_animacy", "model_hmax")},
    {"kind": "geometry", "metric": ("gap_squared_unbiased", "relative_modality_gap")},
    {"kind": "quality", "reference": "full_resolution"},
    {"kind": "saliency", "metric": "auc_judd"},
    {"kind": ("classification", "shape_bias"), "variant": ("imagenet_1000", "imagenet_80")},
    {"kind": ("classification", "shape_bias"), "metric": "top_class_share"},
    {"kind": "classification", "metric": "observed_consistency"},
    {"kind": "noise", "metric": ("displacement", "noise_rms")},
    {"kind": "shape_bias", "metric": ("texture_bias", "error_consistency")},
]
"""What the scope of version 0.4 lists as going."""

DOUBTFUL: list[dict[str, str | Values]] = [
    # Neither among the two conditions that stay nor among the three that go.
    {"kind": "psychophysics", "condition": "contrast_matching"},
    # Four of seven references go, and the split-half ceiling stays; the others are not named.
    {
        "kind": "label_distribution",
        "reference": ("label", "label_and_class", "half_and_class", "all"),
    },
    {"kind": "label_distribution", "role": "lower_bound"},
    {"kind": "label_distribution", "metric": "top1_mode"},  # top-1 stays, once
    # People, ceilings and one baseline of pixels stay; these are not named.
    {
        "kind": "representation",
        "reference": ("categories", "another_person", "pixels_euclidean", "mean_colour"),
    },
    # Uniformity and RankMe stay; other dimensions and the norms are not named.
    {"kind": "geometry", "metric": tuple(f"effective_rank{one}" for one in ("_image", "_text"))},
    {"kind": "geometry", "metric": tuple(f"effective_rank_centred{one}" for one in ("_image", "_text"))},
    {"kind": "geometry", "metric": tuple(f"participation_ratio{one}" for one in ("_image", "_text"))},
    {
        "kind": "geometry",
        "metric": tuple(f"participation_ratio_debiased{one}" for one in ("_image", "_text")),
    },
    {"kind": "geometry", "metric": ("norm_image", "norm_text")},
    # SRCC, KRCC, PLCC after the logistic and one baseline of pixels stay.
    {"kind": "quality", "metric": ("plcc", "rmse_logistic")},
    {"kind": "quality", "reference": "level"},
    {"kind": "quality", "variant": "psnr"},
    # One definition of each score and one centre baseline stay.
    {"kind": "saliency", "subset": "left_out_observer"},
    {"kind": "saliency", "reference": "centre_gaussian"},
    # The gap to other distributions stays, the difference of accuracies to people goes: which one this is, is not said.
    {"kind": "classification", "metric": ("accuracy_difference", "observer_consistency")},
    {"kind": "shape_bias", "metric": "cue_accuracy"},  # its share of right answers of either cue is not named
]
"""What is read either way, or named on neither side of a list that names the rest: the lists are kept to it."""


def numbers(table: Path = HERE / "results.parquet") -> list[str]:
    """The lines of `numbers.tsv`, below a line of titles, sorted."""
    rows = pd.read_parquet(table, columns=COLUMNS)
    lines = {tuple(map(_text, row)) for row in rows.itertuples(index=False)}
    return ["\t".join([*COLUMNS, "in 0.4"]), *sorted("\t".join([*line, _fate(line)]) for line in lines)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:g}"


def _fate(line: Sequence[str]) -> str:
    named = dict(zip(COLUMNS, line, strict=True))

    def is_in(rules: list[dict[str, str | Values]]) -> bool:
        return any(
            all(named[key] in ((value,) if isinstance(value, str) else value) for key, value in rule.items())
            for rule in rules
        )

    return "goes" if is_in(GOES) else "doubtful" if is_in(DOUBTFUL) else "stays"


# --- names ---


def public_names() -> list[str]:
    """The lines of `public_names.txt`, sorted."""
    from public_names import public_modules

    from hf_clipdyn import errors

    lines = set(_commands())
    classes = [name for name in errors.__all__ if inspect.isclass(getattr(errors, name))]
    for module, names in [*public_modules(), (errors, classes)]:
        for name in names:
            lines.update(_described(f"{module.__name__}.{name}", getattr(module, name)))
    return sorted(lines)


def _commands() -> Iterator[str]:
    from hf_clipdyn.cli import COMMANDS

    for name, command in COMMANDS.items():
        yield f"clipdyn {name}"
        for flag in command.line().flags.values():
            yield f"clipdyn {name} {flag.spelling}"


def _described(place: str, member: Any) -> Iterator[str]:
    """The lines of a function, a constant, or a class with its methods and properties."""
    if inspect.isroutine(member):
        yield place + _signature(member)
    elif inspect.isclass(member):
        yield f"class {place}{_constructor(member)}"
        for key, one in {key: one for base in _own_bases(member) for key, one in vars(base).items()}.items():
            if key.startswith("_"):
                continue
            if isinstance(one, property | cached_property):
                getter = one.func if isinstance(one, cached_property) else one.fget
                yield f"{place}.{key}: {_annotations(getter)['return']}"
            elif isinstance(one, classmethod | staticmethod) or inspect.isfunction(one):
                yield f"{place}.{key}{_signature(getattr(one, '__func__', one))}"
    else:
        yield place


def _constructor(member: type) -> str:
    """The arguments that a class of this package is made with; nothing where another library takes them."""
    made = getattr(member, "__init__", None)
    if is_dataclass(member):
        declared = _declared(member)
        listed, by_name = [], False
        for one in sorted((one for one in fields(member) if one.init), key=lambda one: one.kw_only):
            if one.kw_only and not by_name:
                listed, by_name = [*listed, "*"], True
            given = "..." if one.default_factory is not MISSING else _default(one.default)
            listed.append(f"{one.name}: {declared.get(one.name, '?')}" + (f" = {given}" if given else ""))
        return f"({', '.join(listed)})"
    if hasattr(member, "_fields") and issubclass(member, tuple):  # a NamedTuple
        declared, defaults = _declared(member), member._field_defaults
        return "({})".format(
            ", ".join(
                f"{key}: {declared[key]}" + (f" = {_default(defaults[key])}" if key in defaults else "")
                for key in member._fields
            )
        )
    if not inspect.isfunction(made) or not made.__module__.startswith("hf_clipdyn"):
        return ""
    return _signature(made).replace("(self, ", "(").replace("(self)", "()").removesuffix(" -> None")


def _signature(function: Callable[..., Any]) -> str:
    """The signature with annotations as the code has them, which every Python and every library prints alike."""
    annotations = _annotations(inspect.unwrap(function))
    if hasattr(function, "__signature__"):  # it takes the arguments of a configuration
        inside = inspect.getclosurevars(function).nonlocals.values()
        annotations = {
            key: text for one in inside if is_dataclass(one) for key, text in _declared(one).items()
        } | {key: text for key, text in annotations.items() if key == "return"}
    parameters, before = [], None
    for one in inspect.signature(function).parameters.values():
        if before == inspect.Parameter.POSITIONAL_ONLY != one.kind:
            parameters.append("/")
        if one.kind == inspect.Parameter.KEYWORD_ONLY and before not in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            parameters.append("*")
        stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(one.kind, "")
        text = stars + one.name
        if one.name in annotations:
            text += f": {annotations[one.name]}"
        if one.default is not one.empty:
            text += f" = {_default(one.default)}"
        parameters.append(text)
        before = one.kind
    returns = f" -> {annotations['return']}" if "return" in annotations else ""
    return f"({', '.join(parameters)}){returns}"


def _default(value: Any) -> str:
    """A plain default; ``...`` for any other, since its text may differ; empty for none."""
    if value is MISSING:
        return ""
    if isinstance(value, tuple):
        return f"({', '.join(map(_default, value))}{',' * (len(value) == 1)})"
    return repr(value) if value is None or type(value) in (bool, int, float, str) else "..."


def _annotations(function: Any) -> dict[str, str]:
    """The annotations of a function, and what it returns, as its source has them."""
    node = _node(function.__module__, function.__qualname__)
    if not isinstance(node, ast.FunctionDef):
        return {}
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = {one.arg: _source(one.annotation) for one in every if one is not None and one.annotation}
    return found | ({"return": _source(node.returns)} if node.returns else {})


def _declared(owner: Any) -> dict[str, str]:
    """The annotations of the fields of a class and its bases, as their source has them."""
    return {
        one.target.id: _source(one.annotation)
        for base in _own_bases(owner)
        for one in getattr(_node(base.__module__, base.__qualname__), "body", ())
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }


def _own_bases(owner: Any) -> list[type]:
    """A class and its bases in this package, the most general first."""
    return [base for base in reversed(owner.__mro__) if base.__module__.startswith("hf_clipdyn")]


def _source(annotation: ast.expr) -> str:
    quoted = isinstance(annotation, ast.Constant) and isinstance(annotation.value, str)
    return annotation.value if quoted else ast.unparse(annotation)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))


def _node(module: str, qualname: str) -> ast.AST | None:
    node: ast.AST | None = _tree(module)
    for name in qualname.split("."):
        inside = [one for one in getattr(node, "body", ()) if getattr(one, "name", None) == name]
        node = inside[-1] if inside else None
    return node


def main() -> None:
    (HERE / "numbers.tsv").write_text("\n".join(numbers()) + "\n", encoding="utf-8")
    (HERE / "public_names.txt").write_text("\n".join(public_names()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
