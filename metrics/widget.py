"""The demo of a metric on its Space: a table to fill in, and the values.

`evaluate.utils` reads the table; its own widget needs gradio 3, which no longer installs beside the
libraries that `evaluate` needs. `scripts/push_metrics.py` puts this file beside each app; in the
checkout: ``PYTHONPATH=metrics python metrics/shape_bias/app.py`` (with gradio installed).
"""

from pathlib import Path

import evaluate
import gradio
from evaluate.utils.gradio import (
    infer_gradio_input_types,
    json_to_string_type,
    parse_gradio_data,
    parse_readme,
)


def interface(module_file):
    """A form for the metric in ``module_file``; columns that are neither text nor number take JSON."""
    metric = evaluate.load(str(module_file))
    names, kinds = list(metric.features), infer_gradio_input_types(metric.features.values())

    def compute(table):
        try:
            return metric.compute(**parse_gradio_data(table, kinds))
        except ValueError as error:
            raise gradio.Error(str(error)) from error

    return gradio.Interface(
        fn=compute,
        inputs=gradio.Dataframe(
            headers=names, datatype=json_to_string_type(kinds), column_count=len(names), row_count=3
        ),
        outputs=gradio.JSON(label=metric.name),
        title=f"Metric: {metric.name}",
        description=metric.description,
        article=parse_readme(Path(module_file).with_name("README.md")),
    )
