"""`clipdyn app`: an image, class names of one's own, and what every revision answers; in the browser, with Gradio.

The numbers come from `hf_clipdyn.evaluation.answers`. Nothing is sent anywhere: no analytics, no public link, no fonts
of others; and nothing that is uploaded stays.
"""

import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.cards import markdown
from hf_clipdyn.errors import ClipDynError, ConfigError, counted, naming
from hf_clipdyn.evaluation import answers as answering
from hf_clipdyn.evaluation.answers import Answer, LoadedRevisions, Opened
from hf_clipdyn.interrupts import catch_signals

_SHOWN_SIDE = 320
_CAUTIONS = """# What every revision answers

**One image proves little**: it does not show how often the model decides so. **The choice is forced**: probabilities
sum to 100 % over the classes that you list; there is no “none of these”. **The logit scale changes during
training**: a probability can rise although the ranking does not change, so read the margin (cosine of the class minus
the best other one) and the rank, too. Nothing that you upload is kept.
"""
_WHOSE = {
    "own": "of each revision: image and text encoder both change",
    "last": "of the last revision: only the image encoder changes",
}


def veiled(image: NDArray[np.uint8], attended: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The model's input, enlarged, darker where the map is low: (H, W, 3) uint8."""
    scale = max(1, _SHOWN_SIDE // max(image.shape[:2]))
    large = image.repeat(scale, axis=0).repeat(scale, axis=1)
    levels = Image.fromarray(np.rint(255 * attended).astype(np.uint8))
    light = np.asarray(levels.resize(large.shape[1::-1], Image.Resampling.BICUBIC))[..., None] / 255
    return np.rint(large * (0.16 + 0.84 * light**0.7)).astype(np.uint8)


def answer_table(model: LoadedRevisions, classes: Sequence[str], found: Sequence[Answer]) -> pd.DataFrame:
    """Probability, margin and rank of each class at each revision that was asked; NaN without an answer."""
    title, places = model.places
    at = dict(zip(model.names, places, strict=True))
    rows = [
        (at[answer.revision], answer.revision, *row)
        for answer in found
        for row in zip(classes, answer.probability, answer.margin, answer.rank, strict=True)
    ]
    return pd.DataFrame(rows, columns=[title, "at", "class", "probability", "margin", "rank"]).round(4)


def summary(classes: Sequence[str], found: Sequence[Answer], total: int, whose: str) -> str:
    """What the revisions chose, in words for Markdown."""
    read = [answer for answer in found if not answer.problem]
    lines = [f"{len(found)} of {total} revisions asked, with texts {_WHOSE[whose]}."]
    if read:
        best = [markdown(classes[int(answer.rank.argmin())]) for answer in read]
        changed = f"it changed {counted(sum(map(operator.ne, best, best[1:])), 'time')}"
        first, last = f"**{best[0]}** at {read[0].revision}", f"**{best[-1]}** at {read[-1].revision}"
        lines.insert(0, f"First choice: {first}, {last}; {changed}.")
    lines += [
        f"{answer.revision} has no answer: {markdown(answer.problem)}" for answer in found if answer.problem
    ]
    return "\n\n".join(lines)


def page(gr: Any, opened: Opened) -> Any:
    """The page, a `gradio.Blocks`; nothing is asked at a key press, and one question at a time."""
    models, benchmarks = opened.models, list(opened.benchmarks)

    def ask(name: str, file: str | None, text: str, template: str, whose: Any) -> Iterator[Any]:
        """Words, charts and answers, again and again while the revisions are asked."""
        model, classes, found = models[name], answering.class_list(text), list[Answer]()
        texts = answering.prompts(classes, template)
        for answer in answering.answers(model, answering.picture(file), texts, whose=whose):
            found.append(answer)
            table = answer_table(model, classes, found)
            chart = gr.LinePlot(table, x=model.places[0])
            yield summary(classes, found, len(model.names), whose), chart, chart, table

    def attend(name: str, file: str | None, probe: str, first: str, second: str, table: Any) -> Iterator[Any]:
        """The maps of two revisions, and their answers."""
        image, pair = answering.picture(file), (first, second)
        maps = [veiled(*answering.attention(models[name], revision, image, probe)) for revision in pair]
        two = None if table is None else table[table["at"].isin(pair)]
        yield list(zip(maps, pair, strict=True)), two

    def show(benchmark: str, row: float | None, text: str) -> Iterator[Any]:
        """A stimulus, what is known about it, and its classes, if it has any."""
        image, words, classes, template = opened.stimulus(benchmark, int(row or 0))
        yield image, str(markdown(words)), ", ".join(classes) or text, template

    def choose(name: str) -> Iterator[Any]:
        """The choices among the revisions of another model."""
        names = models[name].names
        yield gr.Dropdown(names, value=names[0]), gr.Dropdown(names, value=names[-1])

    def event(handler: Callable[..., Iterator[Any]], inputs: Any, outputs: Any) -> dict[str, Any]:
        @wraps(handler)
        def call(*values: Any) -> Iterator[Any]:
            try:
                yield from handler(*values)
            except ClipDynError as error:  # the page shows it as one sentence
                raise gr.Error(str(markdown(error)), print_exception=False) from error

        alone = {"concurrency_limit": 1, "concurrency_id": "model"}
        return {"fn": call, "inputs": inputs, "outputs": outputs, **alone}

    names = models[next(iter(models))].names
    with gr.Blocks(title="hf-clipdyn", analytics_enabled=False, delete_cache=(600, 600)) as blocks:
        gr.Markdown(_CAUTIONS)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                model = gr.Dropdown(list(models), label="Model", visible=len(models) > 1)
                image = gr.Image(label="Image", sources=["upload", "webcam", "clipboard"], format="png")
                # The file itself: only `picture` opens images, and says what is wrong with one.
                image.preprocess = lambda payload: None if payload is None else payload.path
                benchmark = gr.Dropdown(benchmarks, label="or a stimulus of", visible=bool(benchmarks))
                row = gr.Number(0, label="in row", minimum=0, precision=0, visible=bool(benchmarks))
                facts = gr.Markdown()
                text = gr.Textbox(label="Classes, separated by commas", max_lines=4)
                template = gr.Textbox("a photo of a {}.", label="Text for each class; {} is its name")
                choices = [(title, name) for name, title in _WHOSE.items()]
                whose = gr.Radio(choices, value="own", label="Texts")
                button = gr.Button("Ask", variant="primary")
            with gr.Column(scale=3, min_width=320):
                words = gr.Markdown("Give an image, or show a stimulus.")
                look = {"color": "class", "tooltip": "all", "height": 240}
                charts = [gr.LinePlot(y="probability", **look), gr.LinePlot(y="margin", **look)]
                with gr.Row():
                    first = gr.Dropdown(names, value=names[0], label="Revision")
                    second = gr.Dropdown(names, value=names[-1], label="Beside")
                    probes = [(title, name) for name, title in answering.PROBES.items()]
                    probe = gr.Dropdown(probes, value="rollout", label="Attention")
                seen = "What they see, darker where they attend less"
                maps = gr.Gallery(label=seen, columns=2, format="png")
                pair = gr.Dataframe(show_label=False, interactive=False)
        table = gr.State(time_to_live=600)
        asking = event(ask, [model, image, text, template, whose], [words, *charts, table])
        attending = event(attend, [model, image, probe, first, second, table], [maps, pair])
        showing = event(show, [benchmark, row, text], [image, facts, text, template])
        # Not `change`, which fires at every key.
        wanted = [button.click, image.input, whose.input, text.submit, template.submit]
        gr.on(wanted, **asking, api_name="ask").success(**attending, api_name="attend")
        gr.on([first.input, second.input, probe.input], **attending)
        shown = gr.on([row.submit, benchmark.input], **showing, api_name="stimulus")
        shown.success(**asking).success(**attending)
        model.input(**event(choose, [model], [first, second])).success(**asking).success(**attending)
        if benchmarks:
            blocks.load(**showing)
    return blocks


def serve(opened: Opened, *, port: int | None = None) -> None:
    """Run the app until Ctrl-C, for this machine only. Afterwards nothing is left of what was uploaded.

    Args:
        opened: models and stimuli, see `hf_clipdyn.evaluation.answers.open_models`.
        port: number of the port; by default the first free one from 7860 on.

    Raises:
        ConfigError: Gradio is not installed, or the port is taken.
    """
    # Read when it is imported: nothing is reported to its makers, and no call is recorded in the browser.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["GRADIO_RUN_HISTORY"] = "False"
    try:
        import gradio as gr
    except ImportError as error:
        raise ConfigError("`clipdyn app` needs Gradio: pip install 'hf-clipdyn[app]'.") from error
    # By default its fonts come from Google.
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    off = dict.fromkeys(("share", "mcp_server", "pwa", "ssr_mode"), False)
    look = {"quiet": True, "footer_links": [], "theme": theme, "max_file_size": "32mb"}
    with TemporaryDirectory(prefix="clipdyn-app-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        blocks, ended = page(gr, opened), threading.Event()
        with naming(f"--port {port or ''}", ConfigError):
            here = {"server_name": "127.0.0.1", "server_port": port, "prevent_thread_lock": True}
            _, url, _ = blocks.launch(**here, **off, **look)
        try:
            print(f"The app runs at {url} until you press Ctrl-C.", flush=True)
            with catch_signals(lambda _: ended.set()):
                ended.wait()
        finally:
            blocks.close(verbose=False)
