"""The mathematics of every number that is reported: pure NumPy and SciPy, one metric a module.

A module's main function has the module's name, takes sequences or arrays with one row each, and
returns plain Python numbers. Nothing is re-exported here, since a function would hide its module:
``from hf_clipdyn.metrics.shape_bias import shape_bias``.
"""

__all__: list[str] = []
