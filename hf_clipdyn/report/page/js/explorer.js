// The explorer of a benchmark: one metric over training or over the levels, with switches for all that varies.

const DIMENSIONS = ["metric", "variant", "texts", "probe", "layer", "subset", "condition", "level", "parameter", "setup"];
const LABELS = { metric: "Metric", variant: "Variant", texts: "Texts", probe: "Probe", layer: "Layer", subset: "Subset",
  condition: "Condition", level: "Level", parameter: "Parameter", setup: "Setup" };

registerView({
  name: "explorer",
  title: "",
  rank: 0,
  wide: true,
  applies: (benchmark) => DATA.meta.overTraining ? valuesOf(benchmark).length > 0 : levelled(benchmark).length > 0,
  mount: mountExplorer,
});

function valuesOf(benchmark) {
  return select({ benchmark: benchmark.name, role: "value" });
}

function mountExplorer(element, benchmark) {
  const key = (name) => `${benchmark.name}.${name}`;
  const values = valuesOf(benchmark);
  const bar = choiceBar();
  const title = h("strong", {});
  const chart = h("div", { class: "slot" });
  const aside = h("aside", { class: "readout" });
  const table = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Numbers of this chart" });
  const details = h("details", {}, h("summary", {}, "The numbers behind this chart"), table);
  reserve(chart, explorerHeight(chart));
  element.append(bar, h("div", { class: "explorer" }, h("figure", {}, h("figcaption", {}, title), chart), aside), details);

  const choice = (name) => [name, control(bar, { key: key(name), label: LABELS[name], options: [["", ""]] })];
  const metric = choice("metric");
  const split = control(bar, { key: key("split"), label: "One line per", options: [["run", "run"]] });
  const over = control(bar, { key: key("over"), label: "Over", options: [["training", "training"]] });
  const choices = Object.fromEntries([metric, ...DIMENSIONS.slice(1).map(choice)]);
  const intervals = control(bar, { key: key("intervals"), label: "Intervals",
    options: [["auto", "automatic"], ["bands", "bands"], ["bars", "bars"], ["none", "none"]] });

  let model = null;
  const render = () => {
    model = modelOf(benchmark, choose(benchmark, values, { over, split, choices }), intervals.value());
    title.replaceChildren(model.title);
    drawExplorer(chart, model);
    fillReadout(aside, model);
    if (details.open) fillTable(table, model);
  };
  const move = () => {
    if (model.chosen.mode !== "training") render();
    else {
      placeMarks(chart);
      fillReadout(aside, model);
    }
  };
  details.addEventListener("toggle", () => { if (details.open) render(); });
  live(element, ["x", "seeds", "hidden", ...["over", "split", "intervals", ...DIMENSIONS].map(key)], render, move);
}

function explorerHeight(chart) { return chart.clientWidth && chart.clientWidth < 520 ? 340 : 420; }

// ---------------------------------------------------------------- choices

/** Narrow the values dimension by dimension; each choice offers what is left by those before it. */
function choose(benchmark, values, { over, split, choices }) {
  const chosen = {};
  let left = values;
  for (const name of ["metric", "variant", "texts"]) left = narrowed(benchmark, left, name, choices, chosen);
  const kinds = DATA.meta.overTraining ? [["training", "training"]] : [];
  if (levelsOf(left) > 1 || !kinds.length) kinds.push(["levels", DATA.meta.overTraining ? "levels, at the slider's revision" : "levels"]);
  over.update(kinds);
  chosen.mode = over.value();
  const overLevels = chosen.mode === "levels";
  if (overLevels) {
    left = left.filter((one) => one.level !== null);
    choices.level.update([["", ""]]);
  }
  const all = left;
  const rest = ["probe", "layer", "subset", "condition", ...(overLevels ? [] : ["level"]), "parameter", "setup"];
  for (const name of rest) left = narrowed(benchmark, left, name, choices, chosen);
  const but = (name) => all.filter((one) => rest.every((other) => other === name || one[other] === chosen[other]));
  const options = rest.filter((name) => distinct(but(name), name).length > 1);
  split.update(["run", ...options].map((name) => [name, LABELS[name]?.toLowerCase() ?? name]), usualSplit(options));
  chosen.split = split.value();
  if (chosen.split !== "run") choices[chosen.split].element.hidden = true;
  return { ...chosen, series: chosen.split === "run" ? left : but(chosen.split) };
}

/** With one run, lines show what else varies; with several, the runs. */
function usualSplit(options) {
  const ordered = DATA.runs.length > 1 ? [] : ["level", "layer", "parameter", "subset", "condition"];
  return ordered.find((name) => options.includes(name)) ?? "run";
}

function levelsOf(series) { return new Set(series.map((one) => one.level).filter((level) => level !== null)).size; }

function distinct(series, name) { return [...new Set(series.map((one) => one[name]))]; }

function narrowed(benchmark, series, name, choices, chosen) {
  const order = name === "metric" ? Object.keys(benchmark.terms) : null;
  const found = distinct(series, name);
  if (order) found.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  else if (["layer", "level", "parameter"].includes(name)) found.sort((a, b) => (a ?? -Infinity) - (b ?? -Infinity));
  choices[name].update(found.map((each) => [each ?? "none", titleOf(benchmark, name, each, chosen)]),
    usual(benchmark, series, name, chosen) ?? "none");
  const wanted = choices[name].value();
  chosen[name] = found.find((each) => String(each ?? "none") === wanted);
  return series.filter((one) => one[name] === chosen[name]);
}

/** What is shown first: the number that plan.py chose for the metric, else what is nearest to it. */
function usual(benchmark, series, name, chosen) {
  const found = distinct(series, name);
  const defined = (each) => series.some((one) => one[name] === each && one.v.some((v) => v !== null));
  if (name === "metric") {
    const order = Object.keys(benchmark.terms);
    const rank = (each) => [!defined(each), benchmark.terms[each].overview ?? 1e9, order.indexOf(each)];
    return found.sort((a, b) => compare(rank(a), rank(b)))[0];
  }
  const main = readNumber(benchmark.main[chosen.metric]?.[name] ?? (name === "setup" ? "" : null));
  const apart = (each) => [each !== main || !defined(each), !defined(each), typeof each === "number" && typeof main === "number" ? Math.abs(each - main) : 0];
  return found.reduce((best, each) => (compare(apart(each), apart(best)) < 0 ? each : best));
}

function compare(a, b) {
  const at = a.findIndex((one, i) => one !== b[i]);
  return at < 0 ? 0 : a[at] < b[at] ? -1 : 1;
}

function titleOf(benchmark, name, each, chosen = {}) {
  if (name === "metric") return benchmark.terms[each].title;
  if (name === "layer") return each === null ? "no layer" : `layer ${each}`;
  if (name === "level" || name === "parameter") {
    const axis = (name === "level" && levelAxis(benchmark, chosen.condition)) || benchmark[name] || { title: name, unit: "" };
    return each === null ? `no ${axis.title}` : `${axis.title} ${number(each)}${axis.unit.length > 4 ? "" : ` ${axis.unit}`}`.trim();
  }
  if (name === "condition") return benchmark.conditions[each].title;
  if (name === "setup") return each || "usual";
  return benchmark[{ variant: "variants", subset: "subsets", probe: "probes", texts: "texts" }[name]][each] ||
    { variant: "default", subset: "all items", probe: "none" }[name] || String(each);
}

function levelAxis(benchmark, condition) {
  return benchmark.conditions[condition]?.level ?? benchmark.level;
}

// ---------------------------------------------------------------- what is drawn

/** All that a chart shows: lines, references, axes, words. */
function modelOf(benchmark, chosen, intervals) {
  const term = benchmark.terms[chosen.metric];
  const parts = partsOf(benchmark, chosen);
  const axis = chosen.mode === "levels" ? levelAxis(benchmark, chosen.condition) ?? { title: "level", unit: "" } : null;
  const build = chosen.mode === "levels" ? levelLines : runLines;
  const lines = parts.flatMap(({ series, label, colour: given }) => build(series, { label, colour: given, axis }));
  const references = referencesOf(chosen.series, benchmark, chosen.metric);
  const details = DIMENSIONS.slice(1).filter((name) => name !== chosen.split && name in chosen)
    .filter((name) => ![null, "", "none", "own", "projection"].includes(chosen[name]))
    .map((name) => titleOf(benchmark, name, chosen[name], chosen));
  return { benchmark, chosen, term, lines, references, axis, intervals, title: [term.title, ...details].join(", ") };
}

/** The series of each line's label: all of them for runs, else by the split's values, in shades if they are ordered. */
function partsOf(benchmark, chosen) {
  if (chosen.split === "run") return [{ series: chosen.series, label: null, colour: null }];
  const name = chosen.split;
  const found = distinct(chosen.series, name);
  const ordered = ["layer", "level", "parameter"].includes(name);
  if (ordered) found.sort((a, b) => (a ?? -Infinity) - (b ?? -Infinity));
  return found.map((each, index) => ({
    series: chosen.series.filter((one) => one[name] === each),
    label: titleOf(benchmark, name, each, chosen),
    colour: ordered ? shade(index, found.length) : hue(index),
  }));
}

/** Lines over the levels, each at the slider's stop: one for each run, or the mean over the seeds of each group. */
function levelLines(series, { label, colour: given, axis }) {
  const known = series.map((one) => one.level).filter((each) => Number.isFinite(each) && each > 0);
  const beyond = axis.descending ? Math.max(...known) * 2 : Math.min(...known) / 2;
  const at = (level) => (axis.log && !(Number.isFinite(level) && level > 0) ? beyond : level);
  const sorted = [...series].sort((a, b) => at(a.level) - at(b.level));
  const single = (one) => {
    const index = one.r.findLastIndex((each) => each <= revisionAt(one.run));
    return index < 0 ? one.r[0] : index;
  };
  const byLevel = new Map();
  for (const one of sorted) byLevel.set(one.level, [...(byLevel.get(one.level) ?? []), one]);
  const lines = new Map();
  for (const [level, members] of byLevel) {
    for (const line of runLines(members, { label, colour: given })) {
      const point = seedsAs() === "mean" ? nowPoint(line) : line.points[single(line.points[0].series)];
      const key = `${line.group} ${line.name}`;
      if (!lines.has(key)) lines.set(key, { ...line, points: [] });
      if (point) lines.get(key).points.push({ ...point, x: at(level), level, hole: false });
    }
  }
  return [...lines.values()];
}

function drawExplorer(chart, model) {
  const { term, lines, chosen, axis, title } = model;
  const height = explorerHeight(chart);
  const overLevels = chosen.mode === "levels";
  const { constants, traces } = overLevels ? levelReferences(model) : referenceMarks(model.references);
  const range = rangeOf(term, lines, constants, traces);
  const y = term.unit ? `${term.title} (${term.unit})` : term.title;
  const entries = new Set(lines.map((line) => line.label)).size;
  const rows = Math.ceil(entries / Math.max(1, Math.floor(chart.clientWidth / 170)));
  return draw(chart, [...traces, ...lineTraces(lines, { intervals: model.intervals, hide: term.hide })], {
    height: height + (entries > 1 ? rows * 20 + 16 : 0),
    uirevision: [xAxis(), chosen.mode, title].join(),
    shapes: referenceShapes(constants),
    xaxis: overLevels ? levelLayout(lines, axis) : trainingAxis(),
    yaxis: { range, ...(term.log ? scaleOf(true, range) : {}), title: { text: escape(y) } },
    yaxis2: FOOT,
  }, { alt: alternative(overLevels ? `${title}, over ${axis.title}` : title, lines), height,
    marks: () => (overLevels ? lineMarks([], constants, { line: false }) : lineMarks(lines, constants)) });
}

function levelLayout(lines, axis) {
  const places = [...new Map(lines.flatMap((line) => line.points).map((point) => [point.level, point.x]))];
  const unit = axis.unit ? `${axis.title} (${axis.unit})` : axis.title;
  const titled = { title: { text: escape(unit) }, ...(axis.descending ? { autorange: "reversed" } : {}) };
  if (!axis.log) return titled;
  return { ...titled, type: "log", tickangle: 0, tickvals: places.map(([, x]) => x), ticktext: places.map(([level]) => number(level)) };
}

/** References at the slider's stop: at levels as a curve, else as level lines. */
function levelReferences({ references, lines, chosen }) {
  const places = new Map(lines.flatMap((line) => line.points).map((point) => [point.level, point.x]));
  const constants = [];
  const traces = [];
  for (const one of references) {
    const levelled = one.series.filter((each) => each.level !== null && places.has(each.level));
    const parts = new Map();
    for (const each of levelled) {
      const part = `${each.parameter}`;
      if (!parts.has(part)) parts.set(part, new Map());
      if (!parts.get(part).has(each.level)) parts.get(part).set(each.level, each);
    }
    for (const held of parts.values()) {
      const points = [...held.values()].map((each) => ({ each, i: Math.max(each.r.findLastIndex((r) => r <= revisionAt(each.run)), 0) }))
        .filter(({ each, i }) => each.v[i] !== null).sort((a, b) => places.get(a.each.level) - places.get(b.each.level));
      traces.push({ type: "scatter", mode: "lines+markers", name: escape(one.title), legendgroup: one.title,
        x: points.map(({ each }) => places.get(each.level)), y: points.map(({ each, i }) => each.v[i]),
        line: { color: one.colour, width: 1.8, dash: one.dash }, marker: { size: 4, color: one.colour }, hoverinfo: "text",
        hovertext: points.map(({ each, i }) => `<b>${broken(one.title)}</b><br>${pointWords(each, i, null)}`) });
    }
    if (!levelled.length) constants.push(...referenceMarks([one]).constants);
  }
  return { constants, traces, chosen };
}

function cut(text, letters) { return text.length > letters ? `${text.slice(0, letters - 1)}…` : text; }

// ---------------------------------------------------------------- words beside the chart

const MOST_READ = 24;

function fillReadout(aside, model) {
  const { term, lines, benchmark, chosen } = model;
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
  const rows = chosen.mode === "levels" ? [] : shown.slice(0, MOST_READ).map((line) => {
    const point = DATA.meta.overTraining ? nowPoint(line) : line.points[0];
    return h("tr", {}, h("th", { scope: "row" }, h("i", { class: "swatch", style: `background:${line.colour}` }), lineName(line)),
      h("td", {}, point ? cellWords(point) : "no revision so early"));
  });
  const caption = h("caption", {}, DATA.meta.overTraining ? `At ${at}` : "Values");
  const more = shown.length > MOST_READ ? h("p", { class: "quiet" }, `And ${shown.length - MOST_READ} more lines.`) : null;
  aside.replaceChildren(...facts, ...(rows.length ? [h("table", {}, caption, h("tbody", {}, rows))] : []), ...(more ? [more] : []));
}

/** The numbers as a table: a row for each revision (or level), a column for each line and reference. */
function fillTable(holder, model) {
  const { lines, chosen, title, benchmark, references } = model;
  const shown = lines.filter((line) => line.on);
  const levels = chosen.mode === "levels";
  const rowKey = (point) => (levels ? titleOf(benchmark, "level", point.level, chosen) : point.series.run.revisions[point.revision]);
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
