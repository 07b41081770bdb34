"""`clipdyn app`: an image, class names of one's own, and what every revision answers; in the browser, with Gradio.

The numbers come from `hf_clipdyn.evaluation.answers`. Nothing is sent anywhere: no analytics, no public link, no fonts
of others; and nothing that is uploaded stays.
"""

import json
import math
import operator
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from inspect import isgeneratorfunction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import datasets
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from hf_clipdyn.benchmarks.classes import default_templates
from hf_clipdyn.benchmarks.registry import kinds, suite
from hf_clipdyn.cards import markdown
from hf_clipdyn.data.load import find_locally
from hf_clipdyn.data.prompts import PHOTO
from hf_clipdyn.data.registry import dataset_metadata, dataset_names
from hf_clipdyn.errors import ClipDynError, ConfigError, counted, shown
from hf_clipdyn.evaluation.answers import (
    PROBES,
    Answer,
    LoadedRevisions,
    Texts,
    answers,
    attention,
    chosen_revisions,
    class_list,
    cues,
    measured_revisions,
    picture,
    prompts,
)
from hf_clipdyn.interrupts import catch_signals
from hf_clipdyn.report.page.views import local_source
from hf_clipdyn.report.style import GREY
from hf_clipdyn.results.read import read_results
from hf_clipdyn.revisions import open_series

if TYPE_CHECKING:
    import gradio

_MOST_UPLOADED = "32mb"
_KEPT_SECONDS = 600
_REDRAWN_SECONDS = 0.4
_SHOWN_SIDE = 320
_SMALL_BYTES = 200_000_000
"""What the revisions of a model may weigh together to be asked as soon as the page is opened."""
_TITLE = "What every revision answers"
_NOTHING_ASKED = "Give an image, or show a stimulus."
_HUES = ("#3a86ff", "#ef6608", "#429270", "#aa66bf")
"""Each has a contrast of 3 or more on white and on Gradio's dark paper: which of them is shown is not known here."""
_DASHES = ("solid", "dash", "dot", "dashdot")
_CAUTIONS = (
    "**One image is an anecdote**: it shows what the model decided here, not how often it decides so. "
    "**The choice is forced**: the classes share 100 %, and “none of these” is not among them. "
    "**The logit scale changes in training**: a probability may rise while the order stays, so read the margin (cosine "
    "of the class minus the best other one) and the rank beside it. Nothing that you upload is kept."
)
_WHOSE = {
    "own": "of each revision: image and text encoder both change",
    "last": "of the last revision: only the image encoder changes",
}


def opened(
    what: str | Path,
    *,
    store: Path | None = None,
    revisions: Sequence[str] = (),
    device: str | None = None,
    data_dirs: Mapping[str, Path] | None = None,
) -> "tuple[dict[str, LoadedRevisions], Stimuli]":
    """The models of a run, a repository or a table of results, and the stimuli of their benchmarks.

    Args:
        what: anything that `open_series` opens, or a table of `clipdyn evaluate`, whose models are opened at the
            commits that were measured.
        store: folder of a local store.
        revisions: names of those to show; all by default.
        device: as for `Encoder.from_folder`.
        data_dirs: folders of data sets, by name.

    Raises:
        ConfigError: there is no such run or table, or a model has none of the revisions.
        RevisionNotFoundError: there is no such repository.
    """
    if Path(what).suffix != ".parquet":
        series = open_series(what, store)
        model = chosen_revisions(series, series.revisions(), revisions, device)
        return {model.repo_id: model}, Stimuli(suite("embedded"), data_dirs or {})
    table = read_results(Path(what))
    models = {
        repo_id: measured_revisions(table, repo_id, store=store, wanted=revisions, device=device)
        for repo_id in table.cells["repo_id"].drop_duplicates().astype(str)
    }
    pairs = table.cells[["kind", "dataset"]].drop_duplicates()
    return models, Stimuli([f"{kind}/{dataset}" for kind, dataset in pairs.to_numpy()], data_dirs or {})


@dataclass(eq=False)
class Stimuli:
    """The images of benchmarks whose data are on this machine.

    Attributes:
        benchmarks: names, `kind/dataset`.
        data_dirs: folders of data sets, by name.
    """

    benchmarks: Sequence[str]
    data_dirs: Mapping[str, Path] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Benchmarks with images that can be shown without a download."""
        return [name for name in self.benchmarks if self._is_here(name)]

    def _is_here(self, benchmark: str) -> bool:
        kind, _, dataset = benchmark.partition("/")
        if kind not in kinds() or not kinds()[kind].schemas:  # it draws what it shows
            return False
        if dataset not in dataset_names():  # measured by a version or a plug-in that knew it
            return False
        known = dataset in self.data_dirs or find_locally(dataset) is not None
        return known or dataset_metadata(dataset).synthetic

    def stimulus(self, benchmark: str, row: int) -> tuple[Image.Image, str, list[str]]:
        """An image of a benchmark, what is known of it, and the names of its classes.

        Raises:
            ConfigError: the data set is not here, or has no image in such a row.
            DatasetError: its files are broken.
        """
        if benchmark not in self.names:
            raise ConfigError(
                f"The images of {shown(benchmark)} are not on this machine: choose another one."
            )
        kind, _, dataset = benchmark.partition("/")
        source = local_source(dataset, kinds()[kind].schemas, self.data_dirs.get(dataset))
        if source is None or not 0 <= row < len(source.dataset):
            rows = 0 if source is None else len(source.dataset)
            raise ConfigError(f"{benchmark} has {rows:,} rows: give a number from 0 to {max(rows - 1, 0):,}.")
        columns = [name for name, kind in source.dataset.features.items() if isinstance(kind, datasets.Image)]
        if not columns:
            raise ConfigError(f"{benchmark} has no images: choose another one.")
        cell = source.dataset.select_columns([columns[0]])[row][columns[0]]
        classes, by_cue = cues(source.dataset)
        facts = [f"{cue} {values[row]}" for cue, values in by_cue.items()]
        return picture(cell), ", ".join([f"{benchmark}, row {row:,}", *facts]), classes


def veiled(image: NDArray[np.uint8], attended: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The model's input, enlarged, darker where the map is low: (H, W, 3) uint8."""
    scale = max(1, _SHOWN_SIDE // max(image.shape[:2]))
    size = (image.shape[1] * scale, image.shape[0] * scale)
    large = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.NEAREST), np.float64)
    levels = Image.fromarray(np.rint(255 * attended).astype(np.uint8))
    light = np.asarray(levels.resize(size, Image.Resampling.BICUBIC), np.float64)[..., None] / 255
    visible = 0.16 + 0.84 * light**0.7
    return np.rint(large * visible).astype(np.uint8)


def drawn(model: LoadedRevisions, classes: Sequence[str], known: Sequence[Answer]) -> dict[str, Any]:
    """Two panels over training, the probability of each class and its margin, as data and layout of Plotly."""
    title, places = model.places
    lines = []
    for panel, numbers in enumerate(("probability", "margin")):
        axes = {"xaxis": "x2", "yaxis": "y2"} if panel else {}
        for at, name in enumerate(classes):
            values = [float(getattr(answer, numbers)[at]) for answer in known]
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "x": places[: len(known)],
                    "y": [None if math.isnan(value) else round(value, 5) for value in values],
                    "name": _escaped(name),
                    "legendgroup": str(at),
                    "showlegend": not panel,
                    "line": {
                        "color": _HUES[at % len(_HUES)],
                        "dash": _DASHES[at // len(_HUES) % len(_DASHES)],
                    },
                    "customdata": [[answer.revision, int(answer.rank[at])] for answer in known],
                    "hovertemplate": "%{fullData.name}: %{y:.3f}, rank %{customdata[1]}<br>%{customdata[0]}"
                    "<extra></extra>",
                    **axes,
                }
            )
    margin, clear = 0.04 * (places[-1] - places[0] or 1), "rgba(0,0,0,0)"
    across = {"title": {"text": title}, "range": [places[0] - margin, places[-1] + margin], "showgrid": False}
    up = {"gridcolor": "rgba(128,128,128,.25)", "zerolinecolor": "rgba(128,128,128,.6)"}
    layout = {
        "xaxis": across | {"domain": [0, 0.46]},
        "xaxis2": across | {"domain": [0.54, 1], "anchor": "y2"},
        "yaxis": up | {"range": [-0.02, 1.02], "title": {"text": "probability"}},
        "yaxis2": up | {"anchor": "x2", "title": {"text": "margin in cosine"}},
        "height": 380,
        "margin": {"l": 50, "r": 10, "t": 15, "b": 40},
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "font": {"color": GREY},
        "legend": {"orientation": "h", "y": -0.25},
    }
    return {"data": lines, "layout": layout}


def _escaped(text: str) -> str:
    """A text that Plotly shows as it is: it reads tags, and fills in what follows a per cent sign."""
    return "".join(sign if sign.isalnum() or sign in " -_" else f"&#{ord(sign)};" for sign in text)


def compared(classes: Sequence[str], pair: Sequence[Answer]) -> pd.DataFrame:
    """Probability, margin and rank of each class at two revisions, a row a class."""
    arrow = " → "
    columns = {f"class ({arrow.join(answer.revision for answer in pair)})": list(classes)}
    for title, digits in (("probability", 3), ("margin", 3), ("rank", 0)):
        values = [getattr(answer, title) for answer in pair]
        columns[title] = [
            arrow.join(f"{value[at]:.{digits}f}" for value in values) for at in range(len(classes))
        ]
    return pd.DataFrame(columns)


def summary(classes: Sequence[str], known: Sequence[Answer], total: int, whose: Texts) -> str:
    """What the revisions chose, in words for Markdown."""
    read = [answer for answer in known if not answer.problem]
    lines = [f"{len(known)} of {total} revisions asked, with texts {_WHOSE[whose]}."]
    if read:
        best = [markdown(classes[int(np.argmin(answer.rank))]) for answer in read]
        first, last, changes = read[0].revision, read[-1].revision, sum(map(operator.ne, best, best[1:]))
        changed = f"it changed {counted(changes, 'time')}"
        lines.insert(0, f"First choice: **{best[0]}** at {first}, **{best[-1]}** at {last}; {changed}.")
    lines += [
        f"{answer.revision} has no answer: {markdown(answer.problem)}" for answer in known if answer.problem
    ]
    return "\n\n".join(lines)


# --- the interface ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Handlers:
    """What the page's controls do; each takes the values of some of them and gives those of others."""

    models: Mapping[str, LoadedRevisions]
    stimuli: Stimuli

    def ask(self, name: str, file: str | None, classes: str, template: str, whose: Texts) -> Iterator[Any]:
        """Words, chart and answers, again and again while the revisions are asked."""
        if file is None:  # it was removed
            yield _NOTHING_ASKED, None, None
            return
        model, names, image = self.models[name], class_list(classes), picture(file)
        known, drawn_at = list[Answer](), 0.0
        for answer in answers(model, image, prompts(names, template), whose=whose):
            known.append(answer)
            if time.monotonic() - drawn_at > _REDRAWN_SECONDS or len(known) == len(model.names):
                drawn_at = time.monotonic()
                words = summary(names, known, len(model.names), whose)
                yield words, drawn(model, names, known), (names, known)

    def attend(
        self, name: str, file: str | None, probe: str, first: str, second: str, asked: Any
    ) -> tuple[Any, ...]:
        """The maps of two revisions, and the table of their answers."""
        if file is None:
            return None, None, None
        image, (classes, known) = picture(file), asked or ([], [])
        pair = (first, second)
        maps = [veiled(*attention(self.models[name], revision, image, probe)) for revision in pair]
        two = [answer for revision in pair for answer in known if answer.revision == revision]
        return *maps, compared(classes, two) if two else None

    def show(self, benchmark: str, row: float | None, classes: str) -> tuple[Any, ...]:
        """A stimulus, what is known of it, and its classes, if it has any."""
        image, words, names = self.stimuli.stimulus(benchmark, int(row or 0))
        return image, str(markdown(words)), ", ".join(names) or classes

    def choose(self, name: str) -> tuple[Any, Any]:
        """The choices among the revisions of another model."""
        names = self.models[name].names
        choices: dict[str, Any] = {"choices": names, "__type__": "update"}
        return choices | {"value": names[0]}, choices | {"value": names[-1]}


def interface(models: Mapping[str, LoadedRevisions], stimuli: Stimuli) -> "gradio.Blocks":
    """The page of the app; nothing is asked at a key press, and one question at a time.

    Raises:
        ConfigError: Gradio is not installed.
    """
    gr = _gradio()
    do, page = _Handlers(models, stimuli), _layout(gr, models, stimuli.names)
    blocks, of = page.pop("blocks"), page

    def worded(handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, whose errors the page shows as one sentence."""

        def failing(error: ClipDynError) -> Exception:
            return cast("Exception", gr.Error(str(markdown(error)), print_exception=False))

        @wraps(handler)
        def call(*given: Any) -> Any:
            try:
                return handler(*given)
            except ClipDynError as error:
                raise failing(error) from error

        @wraps(handler)
        def each(*given: Any) -> Iterator[Any]:
            try:
                yield from handler(*given)
            except ClipDynError as error:
                raise failing(error) from error

        return each if isgeneratorfunction(handler) else call

    def event(handler: Callable[..., Any], inputs: str, outputs: str, **more: Any) -> dict[str, Any]:
        named = {
            "inputs": [of[one] for one in inputs.split()],
            "outputs": [of[one] for one in outputs.split()],
        }
        return {"fn": worded(handler), **named, "concurrency_limit": 1, "concurrency_id": "model", **more}

    asking = event(do.ask, "model image classes template whose", "words chart asked")
    attending = event(do.attend, "model image probe first second asked", "map_1 map_2 table")
    showing = event(do.show, "benchmark row classes", "image facts classes")
    own, private = {"api_name": "ask"}, {"api_visibility": "private"}
    with blocks:
        # Not `change`, which fires at every key.
        told = [of["button"].click, of["image"].input, of["whose"].input]
        told += [of[text].submit for text in ("classes", "template")]
        gr.on(told, **asking, **own).success(**attending, api_name="attend")
        gr.on([of[one].input for one in ("first", "second", "probe")], **attending, **private)
        shown_by = [of["fetch"].click, of["row"].submit, of["benchmark"].input]
        shown = gr.on(shown_by, **showing, api_name="stimulus")
        shown.success(**asking, **private).success(**attending, **private)
        chosen = of["model"].input(**event(do.choose, "model", "first second"), **private)
        chosen.success(**asking, **private).success(**attending, **private)
        if stimuli.names:
            loaded = blocks.load(**showing, **private)
            sizes = [revision.size or 0 for revision in models[next(iter(models))].by_name.values()]
            if sum(sizes) < _SMALL_BYTES:
                loaded.success(**asking, **private).success(**attending, **private)
    return cast("gradio.Blocks", blocks)


def _layout(gr: Any, models: Mapping[str, LoadedRevisions], benchmarks: Sequence[str]) -> dict[str, Any]:
    """The page, ``blocks``, and its controls by name."""

    of: dict[str, Any] = {}
    known, names = list(models), models[next(iter(models))].names
    first = next(
        (name for name in benchmarks if name.startswith("shape_bias/")), next(iter(benchmarks), None)
    )
    template = PHOTO[0]
    if first is not None:
        template = default_templates(dataset_metadata(first.partition("/")[2]))[0]
    cleared = (_KEPT_SECONDS, _KEPT_SECONDS)
    with gr.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=cleared) as of["blocks"]:
        gr.Markdown(f"# {_TITLE}\n\n{_CAUTIONS}")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                of["model"] = gr.Dropdown(known, value=known[0], label="Model", visible=len(known) > 1)
                sources = ["upload", "webcam", "clipboard"]
                of["image"] = gr.Image(label="Image", sources=sources, format="png", height=280, buttons=[])
                # The file itself: only `picture` opens images, and says what is wrong with one.
                of["image"].preprocess = lambda payload: None if payload is None else payload.path
                with gr.Row(visible=bool(benchmarks)):
                    of["benchmark"] = gr.Dropdown(
                        benchmarks, value=first, label="or a stimulus of", min_width=160, scale=3
                    )
                    of["row"] = gr.Number(0, label="row", minimum=0, precision=0, min_width=70, scale=1)
                    of["fetch"] = gr.Button("Show", min_width=70, scale=1)
                of["facts"] = gr.Markdown()
                of["classes"] = gr.Textbox(label="Classes, separated by commas", max_lines=4)
                of["template"] = gr.Textbox(
                    template, label="Text for each class; {} is its name", max_lines=1
                )
                of["whose"] = gr.Radio(_choices(_WHOSE), value="own", label="Texts")
                of["button"] = gr.Button("Ask", variant="primary")
            with gr.Column(scale=3, min_width=320):
                of["words"] = gr.Markdown(_NOTHING_ASKED)
                of["chart"] = gr.Plot(show_label=False)
                of["chart"].postprocess = _plot  # Gradio's page has Plotly; the package is not needed
                with gr.Row():
                    of["first"] = gr.Dropdown(names, value=names[0], label="Revision", min_width=140)
                    of["second"] = gr.Dropdown(names, value=names[-1], label="Beside", min_width=140)
                    of["probe"] = gr.Dropdown(
                        _choices(PROBES), value="rollout", label="Attention", min_width=140
                    )
                with gr.Row():
                    for name in ("map_1", "map_2"):
                        of[name] = gr.Image(
                            show_label=False,
                            interactive=False,
                            format="png",
                            min_width=140,
                            buttons=["fullscreen"],
                        )
                gr.Markdown("What the model sees of the image, darker where it attends less.")
                of["table"] = gr.Dataframe(show_label=False, interactive=False)
        of["asked"] = gr.State(time_to_live=_KEPT_SECONDS)
    return of


def _plot(figure: dict[str, Any] | None) -> Any:
    from gradio.components.plot import PlotData

    return None if figure is None else PlotData(type="plotly", plot=json.dumps(figure, allow_nan=False))


def _choices(titles: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(title, name) for name, title in titles.items()]


def _gradio() -> Any:
    # Read when it is imported: nothing is reported to its makers, and no call is recorded in the browser.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = os.environ["GRADIO_RUN_HISTORY"] = "False"
    try:
        import gradio
    except ImportError as error:
        raise ConfigError("`clipdyn app` needs Gradio: pip install 'hf-clipdyn[app]'.") from error
    return gradio


@contextmanager
def launched(
    models: Mapping[str, LoadedRevisions],
    stimuli: Stimuli,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Iterator[str]:
    """Within it, the app runs; gives its address. Afterwards nothing is left of what was uploaded.

    Args:
        models: by name.
        stimuli: of benchmarks.
        host: address to listen on; by default only this machine can reach it.
        port: number of the port; by default the first free one from 7860 on.

    Raises:
        ConfigError: Gradio is not installed, or the port is taken.
    """
    gr = _gradio()
    with TemporaryDirectory(prefix="clipdyn-app-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        page = interface(models, stimuli)
        fonts = ["system-ui", "sans-serif"]  # by default they come from Google
        theme = gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"])
        try:
            _, url, _ = page.queue().launch(
                server_name=host,
                server_port=port,
                theme=theme,
                max_file_size=_MOST_UPLOADED,
                share=False,
                inbrowser=False,
                prevent_thread_lock=True,
                quiet=True,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                footer_links=[],
            )
        except OSError as error:
            raise ConfigError(f"The port {port or ''} cannot be used ({error}): name a free one.") from error
        try:
            yield url
        finally:
            page.close(verbose=False)


def serve(
    models: Mapping[str, LoadedRevisions],
    stimuli: Stimuli,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> None:
    """Run the app until Ctrl-C; arguments as of `launched`."""
    ended = threading.Event()
    with launched(models, stimuli, host=host, port=port) as url:
        print(f"The app runs at {url} until you press Ctrl-C.")
        with catch_signals(lambda _: ended.set()):
            ended.wait()
