// Layer x revision: a metric that is read at several layers, as a heat map; and the values at the projection beneath.

registerView({
  name: "heatmap",
  title: "Layer by layer",
  rank: 40,
  applies: (benchmark) => DATA.meta.overTraining && panelsOf(benchmark, "layers").length > 0,
  mount: mountHeatmap,
});

function mountHeatmap(element, benchmark) {
  const key = (name) => `${benchmark.name}.layers.${name}`;
  const panels = panelsOf(benchmark, "layers");
  const { bar, chart, note } = frameOf(element, heatHeight(Math.max(...panels.map(({ lines }) => lines.run.length))));
  const { keys, panel } = panelSelects(bar, panels, key, { ...LABELS, variant: "Distance" });
  const run = runControl(bar, key("run"), panels.flatMap(({ of }) => of.series.map((one) => one.run)));
  live(element, ["hidden", key("run"), ...keys], () => {
    const [chosen, one] = [panel(), run()];
    drawHeatmap(chart, note, benchmark, chosen.lines.run.flatMap(({ series }) => series.filter((each) => each.run === one)), chosen.of, one);
  }, () => placeMarks(chart));
}

function heatHeight(layers) { return Math.min(620, 150 + layers * 34); }

/** A choice among the runs of some series, without those that are switched off. */
function runControl(bar, key, runs) {
  const every = DATA.runs.filter((run) => runs.includes(run));
  const box = control(bar, { key, label: "Run", options: [["", ""]] });
  const offered = () => {
    const shown = visibleRuns().filter((run) => every.includes(run));
    return shown.length ? shown : every;
  };
  return () => {
    const held = offered();
    box.update(held.map((run) => [run.name, run.name]));
    return held.find((run) => run.name === box.value()) ?? held[0];
  };
}

// Perceptually uniform: cividis, and a diverging scale that is grey in the middle (Moreland-like, blue to brown).
const SEQUENTIAL = ["#00204d", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a69d75", "#c4b56c", "#e4cf5b", "#ffea46"];
const DIVERGING = {
  light: ["#0a4b8c", "#3f7fbf", "#8fb4d9", "#c9d9e8", "#efefec", "#ecd6bd", "#dba770", "#b97434", "#7d4512"],
  dark: ["#9cc8f2", "#5c98d0", "#356a9c", "#264660", "#2e2f31", "#5e4630", "#96683a", "#cf955a", "#f5c593"],
};

/** Colour scale, and the range of colours: around the neutral value if the term has one, else as wide as the values. */
function heatScale(term, values) {
  const known = values.filter((one) => one !== null);
  const low = known.length ? Math.min(...known) : 0;
  const high = known.length ? Math.max(...known) : 1;
  const spread = (colours) => colours.map((each, i) => [i / (colours.length - 1), each]);
  if (term.neutral !== null) {
    const half = Math.max(Math.abs(high - term.neutral), Math.abs(low - term.neutral)) || 1;
    return { colorscale: spread(DIVERGING[isDark() ? "dark" : "light"]), zmin: term.neutral - half, zmax: term.neutral + half };
  }
  return { colorscale: spread(SEQUENTIAL), zmin: low, zmax: high > low ? high : low + 1 };
}

function drawHeatmap(chart, note, benchmark, series, chosen, run) {
  const term = benchmark.terms[chosen.metric];
  const { grey, paper, human } = look();
  const columns = [...new Set(series.flatMap((one) => one.r))].sort((a, b) => a - b);
  const cells = series.map((one) => columns.map((r) => one.r.indexOf(r)));
  const z = series.map((one, row) => cells[row].map((i) => (i < 0 || !one.ok[i] ? null : one.v[i])));
  const text = series.map((one, row) => cells[row].map((i) =>
    `<b>layer ${one.layer}</b><br>${i < 0 ? "not measured" : pointWords(one, i, null)}`));
  const scale = heatScale(term, z.flat());
  const layers = series.map((one) => one.layer);
  const hatched = series.flatMap((one, row) => columns.flatMap((r, column) => {
    const i = cells[row][column];
    return z[row][column] === null ? [{ row, column, hollow: i >= 0 && one.v[i] !== null, words: text[row][column] }] : [];
  }));
  const marks = heatReferences(benchmark, series, term, human, grey).filter((one) => one.y >= scale.zmin && one.y <= scale.zmax);
  const names = columns.map((r) => run.revisions[r]);
  const every = Math.ceil(columns.length / Math.max(2, Math.floor(chart.clientWidth / 90)));
  const ticks = columns.map((_, i) => i).filter((i) => (columns.length - 1 - i) % every === 0);
  const height = heatHeight(layers.length);
  const title = [term.title, chosen.words.variant].filter((each) => each !== "default").join(", ");
  draw(chart, [
    { type: "heatmap", z, x: columns.map((_, i) => i), y: layers.map((_, i) => i), ...scale, xgap: 1, ygap: 1,
      hovertext: text, hoverinfo: "text", hoverongaps: false,
      colorbar: { thickness: 12, outlinewidth: 0, len: 1, ypad: 0, tickfont: { color: grey, size: 11 }, nticks: 6,
        title: { text: escape(term.unit || ""), side: "right", font: { color: grey, size: 11 } } } },
    { type: "scatter", mode: "markers", x: hatched.map((one) => one.column), y: hatched.map((one) => one.row),
      hovertext: hatched.map((one) => one.words), hoverinfo: "text", showlegend: false,
      marker: { symbol: hatched.map((one) => (one.hollow ? "circle-open" : "x-thin")), size: 9, color: grey, line: { color: grey, width: 1.4 } } },
  ], {
    height,
    margin: { r: 70 },
    xaxis: { tickangle: 0, tickvals: ticks, ticktext: ticks.map((i) => escape(cut(names[i], 14))), range: [-0.5, columns.length - 0.5], showgrid: false },
    yaxis: { title: { text: "layer" }, tickvals: layers.map((_, i) => i), ticktext: layers.map(String), range: [-0.5, layers.length - 0.5] },
    plot_bgcolor: faded(grey, 0.16),
    shapes: [
      ...marks.map((one) => {
        const y = (one.y - scale.zmin) / (scale.zmax - scale.zmin);
        return { type: "line", xref: "paper", x0: 1.015, x1: 1.06, yref: "paper", y0: y, y1: y, line: { color: one.colour, width: 2.5 } };
      }),
    ],
  }, { alt: heatWords(title, series, run), height, marks: () => {
    const now = columns.findLastIndex((r) => r <= revisionAt(run));
    return { frame: now < 0 ? null : [now - 0.5, now + 0.5] };
  } });
  const said = [];
  if (term.neutral !== null) said.push(`The middle of the colours is ${value(term.neutral)}, ${term.neutralTitle}.`);
  if (hatched.length) said.push("Grey circle: not interpretable. Grey cross: not defined. Hover over a cell for the cause.");
  if (marks.length) said.push(`Lines in the colour bar: ${marks.map((one) => `${one.title} ${value(one.y)}`).join(", ")}.`);
  said.push("The frame is the slider's revision.");
  note.replaceChildren(said.join(" "));
  chart.style.background = paper;
}

/** Levels of references that do not depend on the layer or the revision. */
function heatReferences(benchmark, series, term, human, grey) {
  return referencesOf(series, benchmark, series[0]?.metric ?? "")
    .filter((one) => one.values.length === 1 && one.title !== term.neutralTitle)
    .map((one) => ({ title: one.title, y: one.values[0], colour: one.colour === human ? human : grey }));
}

function heatWords(title, series, run) {
  const at = revisionAt(run);
  const said = series.map((one) => {
    const i = one.r.findLastIndex((r) => r <= at);
    return `layer ${one.layer}: ${i < 0 ? "not measured" : withInterval(one.v[i], one.lo[i], one.hi[i])}`;
  });
  return `${title}, layer by revision of ${run.name}. At ${run.revisions[at]}: ${said.join("; ")}.`;
}
