"""The recipes, studies, metric modules and card templates of this installation.

A wheel carries `metrics/` and `model_cards/` in `hf_clipdyn/_bundled/`; an editable
install reads the checkout's own folders, so that an edit shows at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_clipdyn.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import evaluate

_PACKAGE = Path(__file__).resolve().parent
_RECIPES = _PACKAGE / "recipes"
_STUDIES = _RECIPES / "studies"


def _folder(name: str) -> Path:
    for root in (_PACKAGE / "_bundled", _PACKAGE.parent):
        if (root / name).is_dir():
            return root / name
    raise ConfigError(f"This installation of hf_clipdyn has no folder {name!r}: reinstall the package.")


def metric_names() -> list[str]:
    """Names of the `evaluate` modules that come with the package, sorted."""
    return sorted(path.name for path in _folder("metrics").iterdir() if (path / f"{path.name}.py").is_file())


def metric_path(name: str) -> Path:
    """Folder of a bundled `evaluate` module, for `evaluate.load`.

    Args:
        name: for example ``shape_bias``; `hf_clipdyn.bundled.metric_names` lists all.

    Raises:
        UnknownNameError: no such module is bundled.

    Examples:
        >>> from hf_clipdyn import metric_path
        >>> metric_path("shape_bias").name
        'shape_bias'
    """
    if name not in metric_names():
        raise UnknownNameError("metric", name, metric_names())
    return _folder("metrics") / name


def load_metric(name: str, **kwargs: Any) -> "evaluate.EvaluationModule":
    """Load a bundled `evaluate` module; `evaluate.load` would need its path.

    Args:
        name: for example ``shape_bias``; `hf_clipdyn.bundled.metric_names` lists all.
        **kwargs: arguments of `evaluate.load` (``num_process``, ``experiment_id``, …).

    Returns:
        The module. Its ``compute`` returns a dictionary of numbers; its ``description`` explains them.

    Raises:
        UnknownNameError: no such module is bundled.

    Examples:
        >>> from hf_clipdyn import load_metric
        >>> shape_bias = load_metric("shape_bias")
        >>> result = shape_bias.compute(
        ...     predictions=["cat", "cat", "dog"], shapes=["cat"] * 3, textures=["dog"] * 3
        ... )
        >>> result["n_shape"], result["n_texture"]
        (2, 1)
    """
    import evaluate

    return evaluate.load(str(metric_path(name)), **kwargs)


def template_path(name: str) -> Path:
    """File of the card template ``name`` (as in ``model_cards/``)."""
    return _folder("model_cards") / name


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


def study_names() -> list[str]:
    """Names of the studies that come with the package, sorted."""
    return sorted(path.stem for path in _STUDIES.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The YAML file of a recipe: one that comes with the package, or a path."""
    return _path_of(name, "recipe", recipe_names(), _RECIPES)


def study_path(name: str) -> Path:
    """The YAML file of a study: one that comes with the package, or a path."""
    return _path_of(name, "study", study_names(), _STUDIES)


def _path_of(name: str, what: str, known: Sequence[str], folder: Path) -> Path:
    if name in known:
        return folder / f"{name}.yaml"
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    raise UnknownNameError(what, name, known)
