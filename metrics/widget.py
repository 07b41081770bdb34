"""The demo of a metric on its Space: a table to fill in, which opens with the card's example, and the values.

The widget of `evaluate.utils` needs gradio 3, which no longer installs beside the libraries that
`evaluate` needs, and reads the table in a way that pandas 3 deprecates. `scripts/push_metrics.py`
puts this file beside each app; in the checkout: ``PYTHONPATH=metrics python
metrics/shape_bias/app.py`` (with gradio installed).
"""

import ast
import doctest
import json
from pathlib import Path

import evaluate
from evaluate.utils.gradio import (
    infer_gradio_input_types,
    json_to_string_type,
    parse_readme,
)


def interface(module_file):
    """A form for the metric in ``module_file``; columns that are neither text nor number take JSON."""
    import gradio  # here, so that the rest of this file can be tested where gradio is not installed

    metric = evaluate.load(str(module_file))
    card = Path(module_file).with_name("README.md")
    rows = opening_rows(metric, card.read_text(encoding="utf-8"))

    def compute(table):
        try:
            return computed(metric, table)
        except ValueError as error:
            raise gradio.Error(str(error)) from error

    return gradio.Interface(
        fn=compute,
        inputs=gradio.Dataframe(
            value=rows,
            headers=list(metric.features),
            datatype=json_to_string_type(_kinds(metric)),
            column_count=len(metric.features),
            row_count=len(rows),
        ),
        outputs=gradio.JSON(label=metric.name),
        title=f"Metric: {metric.name}",
        description=metric.description,
        article=parse_readme(card),
    )


def opening_rows(metric, card):
    """The inputs of the example in the card, a list for each row of the table."""
    examples = doctest.DocTestParser().get_examples(card)
    calls = [
        node for one in examples for node in ast.walk(ast.parse(one.source)) if isinstance(node, ast.Call)
    ]
    call = next(call for call in calls if getattr(call.func, "attr", "") == "compute")
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    columns = [
        [json.dumps(value) for value in given[name]] if kind == "json" else given[name]
        for name, kind in zip(metric.features, _kinds(metric), strict=True)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def computed(metric, table):
    """The values of a filled table (a data frame), with the default of every keyword."""
    whole = table.where(table != "").dropna()
    inputs = {}
    for name, kind in zip(metric.features, _kinds(metric), strict=True):
        cells = whole[name].tolist()
        read = {"json": json.loads, "str": lambda cell: cell.strip('"'), "number": float}[kind]
        inputs[name] = [read(cell) for cell in cells]
    return metric.compute(**inputs)


def _kinds(metric):
    return infer_gradio_input_types(metric.features.values())
