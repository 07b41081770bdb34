// Curves, a line for each epoch: a metric over the levels of a condition with its threshold, and responses over contrast.

const MOST_EPOCHS = 14; // lines beside the slider's

registerView({
  name: "curves",
  title: "Curves over the levels, epoch by epoch",
  rank: 20,
  wide: true,
  applies: (benchmark) => DATA.meta.overTraining && panelsOf(benchmark, "curves").length > 0,
  mount: mountCurves,
});

registerView({
  name: "psychometric",
  title: "Psychometric curves, epoch by epoch",
  rank: 30,
  wide: true,
  applies: (benchmark) => Boolean(DATA.parts.psychometric?.[benchmark.name]),
  mount: mountPsychometric,
});

function mountCurves(element, benchmark) {
  const key = (name) => `${benchmark.name}.curves.${name}`;
  const panels = panelsOf(benchmark, "curves");
  const { bar, chart, note } = frameOf(element, 420);
  const caption = h("strong", {});
  const small = h("div", { class: "slot" });
  const aside = h("figure", { id: `${benchmark.anchor}-threshold` }, h("figcaption", {}, caption), small);
  element.append(h("div", { class: "pair" }, h("figure", {}, chart, note), aside));
  const { keys, panel } = panelSelects(bar, panels, key, { ...LABELS, over: undefined });
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

// ---------------------------------------------------------------- responses over contrast

function mountPsychometric(element, benchmark) {
  const part = DATA.parts.psychometric[benchmark.name];
  const key = (name) => `${benchmark.name}.response.${name}`;
  const { bar, chart, note } = frameOf(element, 420);
  const tests = new Map(part.conditions.map(({ condition, title }) => [condition, title]));
  const test = control(bar, { key: key("test"), label: "Test", options: [...tests] });
  const where = control(bar, { key: key("condition"), label: "Condition", options: [["", ""]] });
  const run = runControl(bar, key("run"), DATA.runs.filter((one) => part.runs[one.name]));
  live(element, ["t", "hidden", ...["test", "condition", "run"].map(key)], () => {
    const offered = part.conditions.map((one, i) => [i, one]).filter(([, one]) => one.condition === test.value());
    // Where people need another contrast than at the criterion, the curves have most to say.
    const effect = ([, { human, parameter }]) => Math.abs(Math.log((human ?? 1) / (parameter || human || 1)));
    const usualOne = offered.reduce((best, each) => (effect(each) > effect(best) ? each : best))[0];
    where.update(offered.map(([i, one]) => [i, one.where]), usualOne);
    const one = run();
    drawPsychometric(chart, note, benchmark, part, Number(where.value()), { run: one, held: part.runs[one.name] });
  });
}

function drawPsychometric(chart, note, benchmark, part, at, { run, held }) {
  const { human, grey } = look();
  const condition = part.conditions[at];
  const places = held.revisions.map((name) => run.revisions.indexOf(name));
  const kept = keptAt(run, held.revisions);
  const drawn = drawnRevisions(places.map((_, i) => i), kept);
  const own = colour(run);
  const points = (curve) => (curve ?? []).map((log, i) => ({ x: condition.contrasts[i], y: log === null ? null : 10 ** (log / 1000) }));
  const text = (name) => (p) => `<b>${broken(name)}</b><br>contrast ${number(p.x)}<br>${p.y === null ? "no response" : `${number(p.y)} times the criterion`}`;
  const of = (i) => ({ x: (p) => p.x, y: (p) => p.y, text: text(`${run.name}, ${held.revisions[i]}`), name: held.revisions[i] });
  const now = held.curves[kept][at];
  const equal = select({ benchmark: benchmark.name, metric: part.metric, role: "value", run, condition: condition.condition, level: condition.level,
    parameter: condition.parameter, probe: "projection" }).find((one) => one.texts === "own");
  const i = equal ? equal.r.indexOf(places[kept]) : -1;
  const height = explorerHeight(chart);
  const traces = [
    ...drawn.filter((index) => index !== kept).map((index) => rampTrace(points(held.curves[index][at]), { ...of(index), i: index, n: places.length })),
    ...Object.entries(part.baselines).filter(([, curves]) => curves[at]).map(([name, curves]) => ({
      ...rampTrace(points(curves[at]), { name, bold: false, i: 0, n: 1, x: (p) => p.x, y: (p) => p.y, text: text(name) }),
      line: { color: grey, width: 1.4, dash: "dash" } })),
    ...(now ? [rampTrace(points(now), { ...of(kept), bold: true, own })] : []),
  ];
  const known = traces.flatMap((trace) => trace.y).filter((y) => y !== null && y > 0).map(Math.log10);
  const contrasts = condition.contrasts.map(Math.log10);
  const range = [Math.min(-0.3, ...known) - 0.1, Math.max(0.3, ...known) + 0.15];
  const lines = [
    { x: condition.human, colour: human, text: `people ${condition.human === null ? "" : number(condition.human)}`, width: 2.4 },
    { x: i < 0 ? null : equal.v[i], colour: own, text: i < 0 || equal.v[i] === null ? "" : `model ${number(equal.v[i])}`, width: 1.8, lo: equal?.lo[i], hi: equal?.hi[i] },
  ].filter((one) => one.x !== null && one.x !== undefined && one.x > 0);
  draw(chart, traces, {
    height, showlegend: false, uirevision: at, margin: { t: 36 },
    xaxis: { type: "log", title: { text: "contrast" }, tickvals: condition.contrasts, ticktext: condition.contrasts.map((each) => number(each)),
      range: [Math.min(...contrasts, ...lines.map((one) => Math.log10(one.x))) - 0.08, Math.max(...contrasts, ...lines.map((one) => Math.log10(one.x))) + 0.08] },
    yaxis: { ...scaleOf(true, range), range, title: { text: "distance / criterion" } },
    shapes: [
      { type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, layer: "below", line: { color: grey, width: 1.3 } },
      ...lines.flatMap((one) => [
        ...(one.lo != null ? [{ type: "rect", x0: one.lo, x1: one.hi, yref: "paper", y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: faded(one.colour, 0.1) }] : []),
        { type: "line", x0: one.x, x1: one.x, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: one.colour, width: one.width, dash: one.colour === human ? "solid" : "dash" } }]),
    ],
    annotations: [
      { xref: "paper", x: 0, xanchor: "left", y: 0, yanchor: "bottom", text: "equal response", showarrow: false, font: { size: 11, color: grey } },
      ...lines.map((one, index) => ({ x: Math.log10(one.x), yref: "paper", y: 1, yanchor: "bottom", yshift: 14 * index, text: escape(one.text), showarrow: false,
        font: { size: 11.5, color: one.colour } })),
    ],
  }, { alt: responseWords(condition, run, held.revisions[kept], equal, i), height });
  note.replaceChildren(`Bold: ${held.revisions[kept]}; thin lines: the other epochs${drawn.length < places.length || part.sparse ? " (not all)" : ""}, `, rampWords(run, places), [
    `Dashed grey: ${Object.keys(part.baselines).join(", ") || "no baseline"}.`,
    "Distance between the stimuli with and without the grating, divided by the distance that sets the criterion.",
    now ? "" : "At this revision, the distance that sets the criterion is 0.",
    i >= 0 && equal.v[i] === null ? `No contrast of equal response: ${equal.note[i]}.` : ""].filter(Boolean).join(" "));
}

function responseWords(condition, run, revision, equal, i) {
  const people = condition.human === null ? "" : ` People need ${number(condition.human)}.`;
  const model = i < 0 ? "" : equal.v[i] === null ? ` The model has no contrast of equal response: ${equal.note[i]}.`
    : ` The model needs ${withInterval(equal.v[i], equal.lo[i], equal.hi[i])}.`;
  return `Response over contrast, ${condition.title}, ${condition.where}, a line for each epoch of ${run.name}. At ${revision}:${model}${people}`;
}
