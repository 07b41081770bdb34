"""The demo of this metric on its Space: a table to fill in, and the values."""

from pathlib import Path

import evaluate
from evaluate.utils import launch_gradio_widget

launch_gradio_widget(evaluate.load(str(Path(__file__).with_name("saliency.py"))))
