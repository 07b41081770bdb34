// The explorer of a benchmark: one of the panels of panels.py, which selects choose, over training or over the levels.
// Other files may use:
//
//   panelsOf(benchmark, ...forms)            its panels: {form, of, lines, split, axis, thresholds}, see panels.py
//   panelSelects(bar, panels, key, labels)   selects among them: {keys, boxes, panel()}
//   detailOf(number, ...but)                 what distinguishes a number from the plainest one, in words
//   frameOf(element, height)                 {bar, chart, note}: choices, a chart, and words below it

const LABELS = { metric: "Metric", over: "Over", variant: "Variant", reference: "With", texts: "Texts", probe: "Probe", layer: "Layer", subset: "Subset",
  condition: "Condition", level: "Level", parameter: "Parameter", setup: "Setup" };
const RAMPS = ["level", "layer", "parameter"];
const JOINED = { levels: "level", curves: "level", layers: "layer" }; // along it, a panel has all values
const OVER = DATA.meta.overTraining ? { training: "training", levels: "levels, at the slider's revision" } : { levels: "levels" };

registerView({
  name: "explorer",
  title: "",
  rank: 0,
  wide: true,
  applies: (benchmark) => panelsOf(benchmark, ...Object.keys(OVER)).length > 0,
  mount: mountExplorer,
});

function panelsOf(benchmark, ...forms) { return benchmark.panels.filter(({ form }) => forms.includes(form)); }

/** Selects among panels in the order of preference: each offers what those before it leave, and the first is the usual. */
function panelSelects(bar, panels, key, labels = LABELS) {
  const facet = (panel, name) => (name === "over" ? panel.form : name === JOINED[panel.form] ? null : panel.of[name]);
  const boxes = {};
  for (const [name, label] of Object.entries(labels)) {
    if (new Set(panels.map((each) => facet(each, name))).size > 1) boxes[name] = control(bar, { key: key(name), label, options: [["", ""]] });
  }
  const panel = () => {
    let left = panels;
    for (const [name, box] of Object.entries(boxes)) {
      const offered = [...new Map(left.map((each) => [facet(each, name), name === "over" ? OVER[each.form] : each.of.words[name]]))];
      if (RAMPS.includes(name)) offered.sort(([a], [b]) => (a ?? -Infinity) - (b ?? -Infinity));
      box.update(offered.map(([each, words]) => [each ?? "none", words]), facet(left[0], name) ?? "none");
      left = left.filter((each) => String(facet(each, name) ?? "none") === box.value());
    }
    return left[0];
  };
  return { boxes, keys: Object.keys(boxes).map(key), panel };
}

function detailOf(number, ...but) {
  return Object.entries(number.words).filter(([name]) => name !== "metric" && !but.includes(name))
    .filter(([name]) => ![null, "", "none", "own", "projection"].includes(number[name])).map(([, words]) => words).join(", ");
}

function mountExplorer(element, benchmark) {
  const key = (name) => `${benchmark.name}.${name}`;
  const bar = choiceBar();
  const title = h("strong", {});
  const chart = h("div", { class: "slot" });
  const aside = h("aside", { class: "readout" });
  const table = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Numbers of this chart" });
  const details = h("details", {}, h("summary", {}, "The numbers behind this chart"), table);
  const figure = h("figure", {}, h("figcaption", {}, title), chart);
  reserve(chart, explorerHeight(chart));
  element.append(bar, h("div", { class: "explorer" }, figure, aside), details);
  const { boxes, keys, panel } = panelSelects(bar, panelsOf(benchmark, ...Object.keys(OVER)), key);
  const split = control(bar, { key: key("split"), label: "One line per", options: [["run", "run"]] });
  (boxes.metric?.element ?? bar.firstChild).after(split.element);
  const intervals = control(bar, { key: key("intervals"), label: "Intervals",
    options: [["auto", "automatic"], ["bands", "bands"], ["bars", "bars"], ["none", "none"]] });

  let model = null;
  const render = () => {
    const chosen = panel();
    split.update(Object.keys(chosen.lines).map((name) => [name, LABELS[name]?.toLowerCase() ?? name]), chosen.split);
    if (split.value() !== "run") boxes[split.value()].element.hidden = true;
    model = modelOf(benchmark, chosen, split.value(), intervals.value());
    title.replaceChildren(model.title);
    figure.hidden = model.ofRun;
    if (!model.ofRun) drawExplorer(chart, model);
    fillReadout(aside, model);
    if (details.open) fillTable(table, model);
  };
  const move = () => {
    if (model.panel.axis) render();
    else {
      placeMarks(chart);
      fillReadout(aside, model);
    }
  };
  details.addEventListener("toggle", () => { if (details.open) render(); });
  live(element, ["x", "seeds", "hidden", ...["split", "intervals"].map(key), ...keys], render, move);
}

function explorerHeight(chart) { return chart.clientWidth && chart.clientWidth < 520 ? 340 : 420; }

/** The usual frame of a chart: a row of choices, the chart with its room, and a line of words. */
function frameOf(element, height) {
  const [bar, chart, note] = [choiceBar(), h("div", { class: "slot" }), h("p", { class: "quiet" })];
  reserve(chart, height);
  element.append(bar, chart, note);
  return { bar, chart, note };
}

// ---------------------------------------------------------------- what is drawn

/** All that a chart shows: lines, references, axes, words. `ofRun`: each line is one number of a whole run, so no line. */
function modelOf(benchmark, panel, split, intervals) {
  const term = benchmark.terms[panel.of.metric];
  const { axis } = panel;
  const series = panel.lines[split].flatMap((number) => number.series);
  const parts = split === "run" ? [[series]] : grouped(series, (one) => one[split]).map((members, i, { length }) =>
    [members, members[0].words[split], RAMPS.includes(split) ? shade(i, length) : hue(i)]);
  const lines = parts.flatMap(([members, label, given]) => (axis ? levelLines : runLines)(members, { label, colour: given, axis }));
  const title = [term.title, detailOf(panel.of, split, axis ? "level" : "")].filter(Boolean).join(", ");
  const ofRun = DATA.meta.overTraining && !axis && lines.every(({ points }) => points.length < 2);
  return { benchmark, panel, term, lines, ofRun, series, axis, intervals, title, references: referencesOf(series, benchmark, panel.of.metric) };
}

/** The place of a level on its axis: 0 and infinity may lie beyond the others. */
function levelPlace(level, axis) { return Number.isFinite(level) && (!axis.log || level > 0) ? level : axis.beyond; }

/** Lines over the levels, each at the slider's stop: one for each run, or the mean over the seeds of each group. */
function levelLines(series, { label, colour: given, axis }) {
  const at = (one) => levelPlace(one.level, axis);
  const lines = new Map();
  for (const members of grouped([...series].sort((a, b) => at(a) - at(b)), ({ level }) => level)) {
    for (const line of runLines(members, { label, colour: given })) {
      const point = nowPoint(line);
      const key = `${line.group} ${line.name}`;
      if (!lines.has(key)) lines.set(key, { ...line, points: [] });
      if (point) lines.get(key).points.push({ ...point, x: at(members[0]), level: members[0].level, hole: false });
    }
  }
  return [...lines.values()];
}

function drawExplorer(chart, model) {
  const { term, lines, panel, axis, title } = model;
  const height = explorerHeight(chart);
  const { constants, traces } = axis ? levelReferences(model.references, axis) : referenceMarks(model.references);
  const range = rangeOf(term, lines, constants, traces);
  const entries = new Set(lines.map((line) => line.label)).size;
  const rows = Math.ceil(entries / Math.max(1, Math.floor(chart.clientWidth / 170)));
  return draw(chart, [...traces, ...lineTraces(lines, { intervals: model.intervals, hide: term.hide })], {
    height: height + (entries > 1 ? rows * 20 + 16 : 0),
    uirevision: [xAxis(), panel.form, title].join(),
    shapes: referenceShapes(constants),
    xaxis: axis ? levelTicks(model.series, axis, chart.clientWidth) : trainingAxis(),
    yaxis: valueAxis(term, range),
    yaxis2: FOOT,
  }, { alt: alternative(axis ? `${title}, over ${axis.title}` : title, lines), height,
    marks: () => (axis ? lineMarks([], constants, { line: false }) : lineMarks(lines, constants)) });
}

/** The axis of a metric, logarithmic if its term is. */
function valueAxis(term, range) {
  return { range, ...(term.log ? scaleOf(true, range) : {}), title: { text: escape(term.unit ? `${term.title} (${term.unit})` : term.title) } };
}

/** References at the slider's stop: those with a value at each level as a curve, people bold; the others as level lines. */
function levelReferences(references, axis) {
  const isLevelled = ({ series }) => series.some(({ level }) => level !== null);
  const traces = references.filter(isLevelled).flatMap(({ title, colour: color, dash, isHuman, series }) => grouped(series, ({ parameter }) => parameter).map((members) => {
    const levels = grouped(members.filter(({ level }) => level !== null), ({ level }) => level);
    const points = levels.map(([each]) => ({ each, x: levelPlace(each.level, axis), i: Math.max(each.r.findLastIndex((r) => r <= revisionAt(each.run)), 0) }))
      .filter(({ each, i }) => each.v[i] !== null).sort((a, b) => a.x - b.x);
    return { type: "scatter", mode: "lines+markers", name: escape(title), legendgroup: title, x: points.map(({ x }) => x), y: points.map(({ each, i }) => each.v[i]),
      line: { color, width: isHuman ? 3 : 1.4, dash }, marker: { size: isHuman ? 6 : 4, color }, meta: isHuman ? { human: true } : undefined,
      hoverinfo: "text", hovertext: points.map(({ each, i }) => `<b>${broken(title)}</b><br>${pointWords(each, i, null)}`) };
  }));
  return { constants: referenceMarks(references.filter((one) => !isLevelled(one))).constants, traces };
}

function cut(text, letters) { return text.length > letters ? `${text.slice(0, letters - 1)}…` : text; }

// ---------------------------------------------------------------- words beside the chart

const MOST_READ = 24;

function fillReadout(aside, model) {
  const { term, lines, benchmark, axis, ofRun } = model;
  const shown = lines.filter((line) => line.on);
  const at = DATA.meta.stops[stop()]?.label ?? "";
  const facts = [];
  if (term.meaning) facts.push(h("p", {}, term.meaning));
  if (term.poles) facts.push(h("p", {}, `Below ${number(term.neutral)}: ${term.poles[0]}; above: ${term.poles[1]}.`));
  if (term.better) facts.push(h("p", { class: "quiet" }, term.better === "high" ? "Higher is better." : "Lower is better."));
  if (seedsAs() === "mean") {
    facts.push(h("p", { class: "quiet" }, "Lines are means over seeds. Their intervals (95 %, Student's t) are over the seeds, not over the items."));
  }
  if (benchmark.synthetic) facts.push(h("p", { class: "quiet" }, "Synthetic images."));
  if (benchmark.proxy) facts.push(h("p", { class: "quiet" }, "Proxy: no human judged these images."));
  const rows = axis ? [] : shown.slice(0, MOST_READ).map((line) => {
    const point = DATA.meta.overTraining && !ofRun ? nowPoint(line) : line.points[0];
    const earlier = !ofRun && point && point.revision !== revisionAt(point.series.run) ? ` (${point.series.run.revisions[point.revision]})` : "";
    return h("tr", {}, h("th", { scope: "row" }, h("i", { class: "swatch", style: `background:${line.colour}` }), lineName(line)),
      h("td", {}, point ? cellWords(point) + earlier : "no revision so early"));
  });
  const caption = h("caption", {}, ofRun ? `${model.title}, of the whole run` : DATA.meta.overTraining ? `At ${at}` : "Values");
  const more = shown.length > MOST_READ ? h("p", { class: "quiet" }, `And ${shown.length - MOST_READ} more lines.`) : null;
  aside.replaceChildren(...facts, ...(rows.length ? [h("table", {}, caption, h("tbody", {}, rows))] : []), ...(more ? [more] : []));
}

/** The numbers as a table: a row for each revision (or level), a column for each line and reference. */
function fillTable(holder, model) {
  const { lines, axis: levels, title, references } = model;
  const shown = lines.filter((line) => line.on);
  const rowKey = (point) => (levels ? point.series.words.level : point.series.run.revisions[point.revision]);
  const rowPlace = (point) => (levels ? point.x : position(point.series.run, point.revision, DATA.meta.axis) ?? point.revision);
  const keys = [...new Map(shown.flatMap((line) => line.points).sort((a, b) => rowPlace(a) - rowPlace(b)).map((p) => [rowKey(p), p])).keys()];
  const columns = shown.map((line) => ({
    name: lineName(line),
    cells: new Map(line.points.map((point) => [rowKey(point), cellWords(point)])),
    n: span(line.points.map((point) => point.n).filter(Boolean)),
  }));
  for (const one of levels ? [] : references) {
    for (const each of one.series) {
      columns.push({ name: `${one.title}${DATA.runs.length > 1 ? `, ${each.run.name}` : ""}`, n: "",
        cells: new Map(each.v.map((v, i) => [each.run.revisions[each.r[i]], withInterval(v, each.lo[i], each.hi[i])])) });
    }
  }
  holder.replaceChildren(h("table", {}, h("caption", {}, title),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, levels ? "level" : "revision"),
      columns.map(({ name, n }) => h("th", { scope: "col" }, n ? `${name}\n${seedsAs() === "mean" ? "seeds" : "n"} = ${n}` : name)))),
    h("tbody", {}, keys.map((name) => h("tr", {}, h("th", { scope: "row" }, name), columns.map(({ cells }) => h("td", {}, cells.get(name) ?? "")))))));
}

function cellWords(point) {
  if (point.y === null) return `not defined: ${point.note}`;
  const caution = point.note ? ` (${point.note})` : "";
  return withInterval(point.y, point.lo, point.hi) + (point.ok ? "" : ", not interpretable") + caution;
}

function span(numbers) {
  if (!numbers.length) return "";
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  return low === high ? count(low) : `${count(low)} to ${count(high)}`;
}
