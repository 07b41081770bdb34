// The parts of the page that show numbers: the bar, the first screen, benchmarks, learning, and the evidence.

// ---------------------------------------------------------------- bar

function mountSwitch(box) {
  const runs = JSON.parse(box.dataset.runs);
  box.addEventListener("change", () => showRuns(runs, box.checked));
  state.watch(["hidden"], () => {
    const off = hiddenNames();
    box.checked = runs.some((name) => !off.has(name));
    box.indeterminate = box.checked && runs.some((name) => off.has(name));
  });
}

function mountSlider(element) {
  const { stops, untrained } = DATA.meta;
  const [play, input, output] = [".play", "input", "output"].map((place) => element.querySelector(place));
  let timer = 0;
  const run = (on) => {
    clearInterval(timer);
    timer = on && setInterval(step, Math.max(150, 6000 / stops.length));
    play.textContent = on ? "■" : "▶";
    play.setAttribute("aria-label", on ? "Stop" : "Play");
  };
  const step = () => {
    if (stop() === stops.length - 1) run(false);
    setStop(stop() + 1);
  };
  play.addEventListener("click", () => {
    if (!timer && stop() === stops.length - 1) setStop(0);
    run(!timer);
  });
  input.addEventListener("input", () => setStop(Number(input.value)));
  state.watch(["t"], () => {
    const label = stops[stop()];
    const [, unit, place] = /^(.*) (\S+)$/.exec(label);
    input.value = String(stop());
    input.setAttribute("aria-valuetext", label);
    const before = stop() === 0 && untrained ? " (untrained)" : "";
    output.replaceChildren(h("span", {}, `${unit} `), place + before);
  });
}

// ---------------------------------------------------------------- first screen

function mountGlance(figure) {
  const { shown, only, behind } = figure.dataset;
  const panel = () => DATA.overview[Number(shown ?? chosen("glance"))];
  chart(figure, { panel, keys: ["glance"], small: true, only, behind });
}

// Models without training, a row each: a heading sorts them.
function mountModels(table) {
  const [heads, rows] = [[...table.tHead.rows[0].cells], [...table.tBodies[0].rows]];
  // "2d" is by the third column, the greatest first; usual is the first column of values.
  const sorted = () => {
    const [, at, way] = /^(\d{1,3})([ad])$/.exec(state.get("sort", "")) ?? [];
    return at < heads.length ? [Number(at), way === "d"] : [Math.min(1, heads.length - 1), true];
  };
  table.tHead.addEventListener("click", ({ target }) => {
    const at = heads.indexOf(target.closest("th"));
    const [column, down] = sorted();
    if (target.closest("button")) state.set("sort", `${at}${(at === column ? !down : at > 0) ? "d" : "a"}`);
  });
  live(table, ["hidden", "sort"], () => {
    const [column, down] = sorted();
    const off = hiddenNames();
    const key = ({ cells }) => cells[column].dataset.value ?? "";
    const order = (a, b) => (down ? -1 : 1) * (column ? a - b : a.localeCompare(b));
    const wanted = rows.filter(({ dataset }) => !off.has(dataset.run));
    wanted.sort((a, b) => (key(a) === "") - (key(b) === "") || order(key(a), key(b)));
    table.tBodies[0].replaceChildren(...wanted);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  });
}

// ---------------------------------------------------------------- benchmarks and learning

const VIEWS = [...DATA.benchmarks, ...DATA.charts].flatMap(({ views, words = {} }) =>
  views.map((view) => ({ ...view, words })));

// A view: a figure whose selects choose one of its panels, with words and numbers beside it.
function mountView(view) {
  const element = document.getElementById(`${view.id}-view`);
  const figure = document.getElementById(view.id);
  const places = ["strong", ".readout", ":scope > details", ".slot"];
  const [caption, aside, details, slot] = places.map((place) => element.querySelector(place));
  const fillTable = () => {
    if (!details.open || !slot.drawn) return;
    const [headings, ...rows] = rowsOf(slot);
    details.lastElementChild.replaceChildren(tableOf(slot.drawn.panel.title, rows, headings));
  };
  const then = (panel) => {
    caption.textContent = panel.title;
    fillReadout(aside, view, panel, slot);
    fillTable();
  };
  const keys = Object.keys(view.selects).map((name) => `${view.key}.${name}`);
  chart(figure, { panel: () => chosenPanel(view), keys, then });
  details.addEventListener("toggle", fillTable);
}

// The panel that the selects choose: each offers what those before it leave, and the first is the usual.
function chosenPanel({ key, selects, panels }) {
  let left = panels;
  for (const [name, options] of Object.entries(selects)) {
    const offered = new Set(left.map(({ choices }) => choices[name] ?? ""));
    offer(`${key}.${name}`, options.filter((words) => offered.has(words)), left[0].choices[name] ?? "");
    left = left.filter(({ choices }) => (choices[name] ?? "") === chosen(`${key}.${name}`));
  }
  return left[0];
}

const MOST_READ = 24;

// What the metric means, and what each line says at the slider.
function fillReadout(aside, { words }, panel, slot) {
  const lines = slot.drawn.traces.filter(({ meta: { kind, seen } }) => kind === "line" && seen === "on");
  const said = [...(words[panel.metric] ?? [])];
  if (lines.some(({ meta }) => meta.of === "mean")) {
    said.push("Lines are means over seeds.",
      "Their intervals (95 %, Student's t) are over the seeds, not over the items.");
  }
  const rows = (panel.training ? lines.slice(0, MOST_READ) : []).map(({ meta, line }) => {
    const i = meta.at.findLastIndex((at) => at >= 0 && at <= stop());
    const revision = i < 0 ? "" : revisionOf(meta.run, meta.at[i]);
    const earlier = revision && revision !== revisionOf(meta.run, stop()) ? ` (${revision})` : "";
    const swatch = h("i", { class: "swatch", style: `background:${line.color}` });
    const read = i < 0 ? "no revision so early" : pointWords(meta, i) + earlier;
    return [[swatch, meta.label], read];
  });
  const table = rows.length ? [tableOf(`At ${DATA.meta.stops[stop()]}`, rows)] : [];
  aside.replaceChildren(...said.map((text) => h("p", {}, text)), ...table);
  mountItems(aside, panel, slot);
}

// ---------------------------------------------------------------- evidence

// Any two metrics against each other: paths over training, dots for models. They describe.
function mountScatter(figure) {
  const keys = ["scatter.x", "scatter.y"];
  chart(figure, { keys, panel: () => scatterOf(...keys.map((key) => axisOf(chosen(key)))) });
}

function scatterOf(a, b) {
  const lines = DATA.runs.map(({ name, group }) => {
    const color = `@hue ${GROUPS.get(group).hue}`;
    const at = [...(a.of[name] ?? []).keys()].filter((t) => a.of[name][t] !== null && b.of[name]?.[t] != null);
    const alone = at.length < 2;
    const [x, y] = [a, b].map(({ of }) => at.map((t) => of[name][t]));
    const bars = ({ of, low, high }) => ({
      type: "data", symmetric: false, thickness: 1, width: 0, color: `${color} .3`,
      array: at.map((t) => (high[name][t] ?? of[name][t]) - of[name][t]),
      arrayminus: at.map((t) => of[name][t] - (low[name][t] ?? of[name][t])),
    });
    const look = {
      mode: alone ? "markers" : "lines+markers",
      line: { color, width: 1.5 },
      marker: { color, size: alone ? 10 : 5 },
      error_x: bars(a),
      error_y: bars(b),
    };
    const none = at.map(() => null);
    const said = at.map((_, i) => `${value(x[i])} across, ${value(y[i])} up`);
    const points = { at, x, y, said, path: [...at.keys()], usable: at.map(() => 1), n: none, low: none, high: none };
    return { label: name, run: name, group, role: "value", of: "", frame: -1, notes: [], look, ...points };
  });
  const last = lines.slice(0, 8).map(({ label, said }) => `${label}: ${said.at(-1) ?? "not both measured"}`);
  const layout = { xaxis: { ...a.layout, showgrid: true }, yaxis: b.layout };
  const title = `${b.title} against ${a.title}`;
  const alt = `${title}. ${last.join("; ")}.`;
  return { form: "lines", crossed: true, title, alt, lines, data: [], names: [], thresholds: [], layout };
}
