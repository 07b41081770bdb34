// Curves, a line for each epoch: a metric over the levels of a condition, with its threshold. Other files may use:
//
//   drawnRevisions(indices, now), rampTrace(points, …), rampWords(run, drawn)    a line for each epoch, the slider's in bold

const MOST_EPOCHS = 14; // lines beside the slider's

registerView({
  name: "curves",
  title: "Curves over the levels, epoch by epoch",
  rank: 20,
  wide: true,
  applies: (benchmark) => DATA.meta.overTraining && panelsOf(benchmark, "curves").length > 0,
  mount: mountCurves,
});

function mountCurves(element, benchmark) {
  const key = (name) => `${benchmark.name}.curves.${name}`;
  const panels = panelsOf(benchmark, "curves");
  const { bar, chart, note } = frameOf(element, 420);
  const caption = h("strong", {});
  const small = h("div", { class: "slot" });
  const aside = h("figure", { id: `${benchmark.anchor}-threshold` }, h("figcaption", {}, caption), small);
  element.append(h("div", { class: "pair" }, h("figure", {}, chart, note), aside));
  const { keys, panel } = panelSelects(bar, panels, key);
  const run = runControl(bar, key("run"), panels.flatMap(({ of }) => of.series.map((one) => one.run)));
  live(element, ["t", "x", "seeds", "hidden", key("run"), ...keys], () => {
    const chosen = panel();
    drawCurves(chart, note, benchmark, chosen, run());
    aside.hidden = !chosen.thresholds.length;
    if (chosen.thresholds.length) drawThreshold(small, caption, benchmark, chosen);
  });
}

/** Layout of the axis of the levels of some series. */
function levelTicks(series, axis, width) {
  const place = (level) => levelPlace(level, axis);
  const levels = [...new Set(series.map(({ level }) => level))].sort((a, b) => place(a) - place(b));
  const beyond = levels.filter((level) => place(level) !== level);
  const titled = { title: { text: escape(axis.title) }, type: axis.log ? "log" : "linear" };
  const every = Math.ceil(levels.length / Math.max(2, Math.floor(width / 75)));
  const named = levels.filter((level, i) => i % every === 0 || beyond.includes(level));
  const exact = axis.log || beyond.length ? { tickvals: named.map(place), ticktext: named.map((each) => number(each)), tickangle: 0 } : {};
  const at = levels.map(place).map((x) => (axis.log ? Math.log10(x) : x));
  const margin = 0.04 * (Math.max(...at) - Math.min(...at) || 1);
  const range = [Math.min(...at) - margin, Math.max(...at) + margin];
  return { ...titled, ...exact, range: axis.descending ? range.reverse() : range };
}

/** A linear axis, or a logarithmic one with marks at 1, 2 and 5; `range` in powers of ten. */
function scaleOf(log, range) {
  if (!log) return { type: "linear" };
  const [low, high] = [Math.min(...range), Math.max(...range)];
  const steps = high - low > 2.5 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += 1) ticks.push(...steps.map((step) => step * 10 ** power));
  const inside = ticks.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  return { type: "log", ...(inside.length > 1 ? { tickvals: inside, ticktext: inside.map((each) => number(each)) } : {}) };
}

/** Which revisions have a line of their own: as many as can be told apart, the slider's always. */
function drawnRevisions(indices, now) {
  const step = Math.ceil(indices.length / MOST_EPOCHS);
  return indices.filter((index, i) => index === now || (indices.length - 1 - i) % step === 0);
}

/** Colours and widths of the lines of a ramp; the slider's one is the last and bold. */
function rampTrace(points, { name, i, n, bold, own, x, y, text, dash }) {
  return { type: "scatter", mode: bold ? "lines+markers" : "lines", name: escape(name), showlegend: false,
    x: points.map(x), y: points.map(y), hovertext: points.map(text), hoverinfo: "text", connectgaps: false,
    opacity: bold ? 1 : 0.75, line: { color: bold ? own : shade(i, n), width: bold ? 3.4 : 1.3, dash }, marker: { size: 6, color: own } };
}

/** The colours of the thin lines, from the first to the last epoch. */
function rampWords(run, drawn) {
  const colours = DATA.meta.shades.map(tone);
  const bar = h("span", { class: "ramp", style: `background: linear-gradient(to right, ${colours.join(", ")})` });
  return h("span", {}, `${run.revisions[drawn[0]] ?? ""} `, bar, ` ${run.revisions[drawn.at(-1)] ?? ""}. `);
}

function drawCurves(chart, note, benchmark, panel, run) {
  const { axis, of } = panel;
  const term = benchmark.terms[of.metric];
  const series = panel.lines.run.flatMap((number) => number.series.filter((each) => each.run === run));
  const threshold = panel.thresholds.find((each) => each.run === run);
  const indices = [...new Set(series.flatMap((one) => one.r))].sort((a, b) => a - b);
  const now = indices.findLast((r) => r <= revisionAt(run)) ?? indices[0];
  const drawn = drawnRevisions(indices, now);
  const own = colour(run);
  const pointsOf = (r) => series.map((one) => ({ one, i: one.r.indexOf(r), x: levelPlace(one.level, axis) }))
    .filter(({ one, i }) => i >= 0 && !(term.hide && !one.ok[i])).sort((a, b) => a.x - b.x);
  const words = ({ one, i }) => `<b>${escape(one.words.level)}</b><br>${pointWords(one, i, null)}`;
  const height = explorerHeight(chart);
  const bold = pointsOf(now);
  const ends = (end) => bold.map(({ one, i }) => one[end][i]);
  const { constants, traces: references } = levelReferences(referencesOf(series, benchmark, of.metric), axis);
  const traces = [
    ...drawn.filter((r) => r !== now).map((r) => rampTrace(pointsOf(r), { name: run.revisions[r], i: indices.indexOf(r), n: indices.length,
      x: (p) => p.x, y: ({ one, i }) => (one.ok[i] ? one.v[i] : null), text: words })),
    ...references.map((trace) => ({ ...trace, showlegend: false })),
    { ...rampTrace(bold, { name: run.revisions[now], bold: true, own, x: (p) => p.x, y: ({ one, i }) => one.v[i], text: words }),
      error_y: errorBars(ends("v"), ends("lo"), ends("hi"), own, 1.4) },
  ];
  const heights = traces.flatMap((trace) => trace.y).filter((y) => y !== null && Number.isFinite(y));
  const range = rangeOf(term, [], constants, [{ y: heights }]);
  draw(chart, traces, {
    shapes: [...referenceShapes(constants), ...thresholdShapes(threshold, now, own)],
    height, showlegend: false,
    uirevision: [of.metric, of.condition, of.variant, of.probe].join(),
    xaxis: levelTicks(series, axis, chart.clientWidth),
    yaxis: valueAxis(term, range),
  }, { alt: curveWords(term, axis, bold, run, now, threshold), height, marks: () => lineMarks([], constants, { line: false }) });
  const people = references.some((trace) => trace.meta?.human);
  note.replaceChildren(`Bold: ${run.revisions[now]}; thin lines: the other epochs${drawn.length < indices.length ? `, ${drawn.length} of ${indices.length}` : ""}, `, rampWords(run, indices), [
    people ? "Brown: people." : "", thresholdWords(threshold, now)].filter(Boolean).join(" "));
}

/** The threshold of a revision: its place among those of its series, or -1. */
function thresholdAt(threshold, now) { return threshold ? threshold.r.indexOf(now) : -1; }

function thresholdShapes(threshold, now, own) {
  const i = thresholdAt(threshold, now);
  if (i < 0 || threshold.v[i] === null) return [];
  const band = threshold.lo[i] === null ? [] : [{ type: "rect", x0: threshold.lo[i], x1: threshold.hi[i], yref: "paper", y0: 0, y1: 1, layer: "below",
    line: { width: 0 }, fillcolor: faded(own, 0.1) }];
  return [...band, { type: "line", x0: threshold.v[i], x1: threshold.v[i], yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: own, width: 1.4, dash: "dash" } }];
}

function thresholdWords(threshold, now) {
  const i = thresholdAt(threshold, now);
  if (i < 0) return "";
  if (threshold.v[i] === null) return `No threshold: ${threshold.note[i]}.`;
  const caution = threshold.note[i] ? ` (${threshold.note[i]})` : "";
  return `Dashed vertical line: the threshold, ${withInterval(threshold.v[i], threshold.lo[i], threshold.hi[i])}${caution}.`;
}

function curveWords(term, axis, bold, run, now, threshold) {
  const said = bold.map(({ one, i }) => `${number(one.level)}: ${withInterval(one.v[i], one.lo[i], one.hi[i])}`);
  return `${term.title} over ${axis.title}, a line for each epoch of ${run.name}. At ${run.revisions[now]}: ${said.join("; ")}. ${thresholdWords(threshold, now)}`;
}

/** The threshold over training, on the axis of the levels. */
function drawThreshold(chart, caption, benchmark, { axis, thresholds }) {
  const term = benchmark.terms[thresholds[0].metric];
  const lines = runLines(thresholds);
  const range = rangeOf({ ...term, log: axis.log }, lines, []);
  const height = chart.clientWidth < 520 ? 280 : 340;
  caption.replaceChildren(`${term.title}, ${thresholds[0].words.condition}`);
  draw(chart, lineTraces(lines), {
    height, uirevision: xAxis(), xaxis: trainingAxis(), yaxis2: FOOT,
    yaxis: { range: axis.descending ? [...range].reverse() : range, ...scaleOf(axis.log, range), title: { text: escape(axis.title) } },
  }, { alt: alternative(term.title, lines), height, marks: () => lineMarks(lines, []) });
}
