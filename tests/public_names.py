"""The public names: those of the packages, of every metric, and what plug-ins are written with."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import hf_clipdyn.metrics

_PACKAGES = ["", ".data", ".evaluation", ".report", ".revisions", ".training"]
METRICS = [
    f"hf_clipdyn.metrics.{one.name}"
    for one in pkgutil.iter_modules(hf_clipdyn.metrics.__path__)
    if not one.name.startswith("_")
]
# What a kind of benchmark, a data set, a loss or a callback of one's own is written with.
_EXTENDING = {
    "benchmarks.kind": (
        "Benchmark",
        "Common",
        "Kind",
        "KindSettings",
        "digest",
        "number",
        "share",
        "term",
        "words",
    ),
    "benchmarks.readout": ("Readout", "Stimuli", "decode"),
    "benchmarks.sources": ("Source",),
    "data.base": ("DataBuilder",),
    "options": ("Options", "read_yaml"),
    "plugins": ("load_plugin",),
    "results.row": ("Number",),
    "results.terms": ("Axis", "Condition", "KindTerms", "Overview", "Reference", "Term"),
    "training.losses": ("Features", "Loss", "loss_names", "make_loss", "mean_over_processes"),
    "training.callbacks": ("Callback",),
}


def _defined(module: ModuleType) -> Iterator[str]:
    """The functions and classes of a module without `__all__` that it shows by an example; others help these."""
    for name, value in vars(module).items():
        is_own = not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
        if is_own and "Examples:" in (getattr(value, "__doc__", "") or ""):
            yield name


def public_modules() -> Iterator[tuple[ModuleType, tuple[str, ...]]]:
    """Each module with the names that are public in it."""
    for name in [*(f"hf_clipdyn{one}" for one in _PACKAGES), *METRICS]:
        module = importlib.import_module(name)
        yield module, tuple(getattr(module, "__all__", None) or _defined(module))
    for name, members in _EXTENDING.items():
        yield importlib.import_module(f"hf_clipdyn.{name}"), members
