"""Write two lists, so that what goes missing is a line of a diff, which belongs in the changelog::

    python tests/goldens/write_lists.py

numbers.tsv       what tells one number of results.parquet from another, by kind, and whether version 0.4 keeps it
public_names.txt  the public names of Python with their signatures, and the commands with their options

`test_lists.py` compares them with the table and with the code. Run `write.py` first where numbers have changed.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from functools import cache
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
    classes = [
        name
        for name, one in vars(errors).items()
        if inspect.isclass(one) and issubclass(one, errors.ClipDynError)
    ]
    for module, names in [*public_modules(), (errors, classes)]:
        for name in names:
            lines.update(_described(f"{module.__name__}.{name}", getattr(module, name)))
    return sorted(lines)


def _commands() -> Iterator[str]:
    from goldens.write import options

    for name, of_command in options().items():
        yield f"clipdyn {name}"
        yield from (f"clipdyn {name} {spelling}" for spelling in of_command)


def _described(place: str, member: Any) -> Iterator[str]:
    """The lines of a function, a constant, or a class with its fields and methods, as the source has them."""
    if inspect.isroutine(member):
        yield place + _signature(_node(member.__module__, member.__qualname__))
    elif inspect.isclass(member):
        yield f"class {place}"
        for base in member.__mro__:
            # What every class of options inherits is listed once, for `Options`.
            is_inherited = base is not member and base.__name__ == "Options"
            if base.__module__.startswith("hf_clipdyn") and not is_inherited:
                for node in getattr(_node(base.__module__, base.__qualname__), "body", ()):
                    if isinstance(node, ast.FunctionDef):
                        if node.name == "__init__" or not node.name.startswith("_"):
                            yield f"{place}.{node.name}{_signature(node)}"
                    elif isinstance(node, ast.AnnAssign) and not ast.unparse(node.target).startswith("_"):
                        yield f"{place}.{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    else:
        yield place


def _signature(node: ast.AST | None) -> str:
    """Arguments and result of a function; nothing where it is made otherwise."""
    if not isinstance(node, ast.FunctionDef):
        return ""
    returns = "" if node.returns is None else f" -> {ast.unparse(node.returns)}"
    return f"({ast.unparse(node.args)}){returns}"


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
