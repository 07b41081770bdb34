// Panels that Python planned, drawn as they are, see panels.py: the lines of runs, level lines and windows. The parts of
// charts that have nothing but panels are sections of the page. Other files may use:
//
//   mountPlanned(element, panel, id, {behind})    one panel; runs for which `behind(run)` is true are grey

const PANEL_HEIGHT = 300;

for (const [name, part] of Object.entries(DATA.parts)) {
  if (part.title && part.panels) registerSection({ name, title: part.title, rank: 45, applies: () => true, mount: (section) => mountPlannedSection(section, name, part.panels) });
}

function mountPlannedSection(section, name, panels) {
  if (!DATA.meta.overTraining) {
    fillForest(section, panels.map((panel) => ({ ...panel, subtitle: panel.place, series: coursesOf(panel), benchmark: benchmarkNamed(panel.benchmark), term: termOf(panel) })));
    return;
  }
  const grid = h("div", { class: "multiples narrow" });
  section.append(grid);
  panels.forEach((panel, at) => mountPlanned(grid, panel, `${name}-${at}`));
}

function termOf(panel) { return benchmarkNamed(panel.benchmark).terms[panel.metric]; }

/** The lines of a panel as series, see core.js. */
function coursesOf(panel) {
  return panel.courses.map((course) => ({ ...course, metric: panel.metric, run: DATA.runs.find(({ name }) => name === course.run), clusters: course.n, note: course.v.map(() => ""), references: [] }))
    .filter(({ run }) => run);
}

function mountPlanned(element, panel, id, { behind = () => false } = {}) {
  const chart = h("div", { class: "slot" });
  reserve(chart, PANEL_HEIGHT);
  element.append(h("figure", { id }, h("figcaption", {}, h("div", {}, h("strong", {}, panel.title), h("span", {}, panel.place))), chart));
  live(chart, ["x", "seeds", "hidden"], () => drawPlanned(chart, panel, behind), () => placeMarks(chart));
}

/** Lines with names of their own have colours of their own; over levels, each is what it is, without means. */
function panelLines(panel) {
  const linesOf = (members, label, given) => members.length ? runLines(members, { label, colour: given }) : [];
  const [named, others] = [(course) => course.label, (course) => !course.label].map((wanted) => coursesOf(panel).filter(wanted));
  const lines = [...linesOf(others, null, null), ...grouped(named, ({ label }) => label).flatMap((members, i, { length }) =>
    linesOf(members, members[0].label, panel.ramp ? shade(i, length) : hue(i)))];
  if (!panel.axis) return lines;
  return lines.map((line) => ({ ...line, points: line.points.map((point) => ({ ...point, x: levelPlace(point.series.level[point.i], panel.axis), hole: false })) }));
}

function drawPlanned(chart, panel, behind) {
  const { grey, human } = look();
  const term = termOf(panel);
  const lines = panelLines(panel).map((line) => (behind(line.runs[0]) ? { ...line, colour: grey, thin: true } : line));
  const constants = panel.levels.map(({ title, v, role }) => ({ y: v, label: `${title} ${brief(v)}`, colour: role === "human" ? human : grey,
    dash: { neutral: "solid", human: "solid", untrained: "dot" }[role] ?? "dash" }));
  const range = rangeOf(term, lines, constants);
  const spans = spansOf(panel);
  draw(chart, lineTraces(lines), {
    height: PANEL_HEIGHT,
    showlegend: false,
    uirevision: xAxis(),
    xaxis: panel.axis ? levelTicks(coursesOf(panel).flatMap(({ level }) => level.map((each) => ({ level: each }))), panel.axis, chart.clientWidth) : { ...trainingAxis(), nticks: 6 },
    yaxis: { ...valueAxis(term, range), nticks: 5, title: { text: escape(term.unit) } },
    yaxis2: FOOT,
    shapes: [...spans.map(({ from, to, scale }) => ({ type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: from, x1: to, line: { width: 0 },
      fillcolor: faded(spanColour(scale), 0.16) })), ...referenceShapes(constants)],
    annotations: spans.filter(({ name }, i) => spans.findIndex((other) => other.name === name) === i).map(({ name, from, to }) => ({
      text: escape(name), showarrow: false, yref: "paper", y: 1, yanchor: "bottom", xanchor: "center", font: { size: 11, color: grey },
      x: xAxis() in LOGARITHMIC ? (Math.log10(from) + Math.log10(to)) / 2 : (from + to) / 2 })),
    margin: { t: 22 },
  }, { alt: alternative(`${panel.title}, ${panel.place}`, lines), height: PANEL_HEIGHT,
    marks: () => lineMarks(panel.axis ? [] : lines.filter((line) => !behind(line.runs[0])), constants, { line: !panel.axis }) });
}

function spanColour(scale) {
  const run = DATA.runs.find((each) => !each.arm && each.scale === scale);
  return run && scale ? colour(run) : look().grey;
}

/** The windows of a panel on the chosen axis; none where the axis is not a clock. */
function spansOf(panel) {
  const runs = coursesOf(panel).map(({ run }) => run);
  const clock = ["samples_seen", "step", "epoch"].find((name) => runs.every((run) => run[name].every((at) => at !== null)));
  if (!clock || xAxis() === "accuracy") return [];
  const length = (run) => run[clock].at(-1);
  return panel.spans.map(([name, start, end, scale]) => {
    const run = runs.filter((each) => !each.arm && (!scale || each.scale === scale)).reduce((a, b) => (a && length(a) >= length(b) ? a : b), null);
    return { name, scale, from: run && between(run, clock, start), to: run && between(run, clock, end) };
  }).filter(({ from, to }) => from !== null && to !== null);
}

/** The place on the axis of a time between two revisions. */
function between(run, clock, time) {
  if (clock === LOGARITHMIC[xAxis()]) return Math.max(time, TRAINED[xAxis()].untrained);
  const after = run[clock].findIndex((at) => at >= time - 1e-9);
  if (after <= 0) return place(run, after < 0 ? run[clock].length - 1 : 0);
  const [from, to] = [place(run, after - 1), place(run, after)];
  if (from === null || to === null) return null;
  const share = (time - run[clock][after - 1]) / (run[clock][after] - run[clock][after - 1] || 1);
  return from + share * (to - from);
}
