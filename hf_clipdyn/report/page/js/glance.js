// The first screen: the metrics that their kinds put into the overview, in the form that fits the study, and the images
// whose answer changed most.

/** What a panel of the overview compares. */
function glancePanels() {
  return DATA.overview.map((panel, at) => {
    const series = panel.series.map((id) => DATA.series[id]);
    const benchmark = DATA.benchmarks.find(({ name }) => name === series[0].benchmark);
    return { ...panel, at, series, benchmark, term: benchmark.terms[series[0].metric] };
  });
}

function mountGlance(element) {
  const panels = glancePanels();
  if (!DATA.meta.overTraining) mountModels(element, panels);
  else if (DATA.groups.length > MOST_TOGETHER) mountGroups(element, panels);
  else mountMultiples(element, panels);
  if (DATA.meta.overTraining) mountChanged(element);
}

const MOST_TOGETHER = 3; // groups of runs that share a small chart; more have one each
const SMALL = 168;

function multiple(grid, id, caption) {
  const chart = h("div", { class: "slot" });
  reserve(chart, SMALL);
  grid.append(h("figure", { id }, h("figcaption", {}, h("div", {}, caption)), chart));
  return chart;
}

/** A small chart for each metric. */
function mountMultiples(element, panels) {
  const grid = h("div", { class: panels.length === 4 ? "multiples narrow" : "multiples" });
  element.append(grid);
  for (const panel of panels) {
    const chart = multiple(grid, `glance-${panel.at}`,
      [h("a", { href: `#${panel.benchmark.anchor}` }, panel.title), h("span", {}, panel.subtitle)]);
    live(chart, ["x", "seeds", "hidden"], () => drawSmall(chart, panel, runLines(panel.series)), () => placeMarks(chart));
  }
}

/** A small chart for each arm or size of one metric, with the main arm of its size behind it. */
function mountGroups(element, panels) {
  const bar = choiceBar();
  const grid = h("div", { class: "multiples narrow" });
  element.append(bar, grid);
  const metric = control(bar, { key: "glance", label: "Metric", options: panels.map(({ title, subtitle }, at) => [at, `${title}, ${subtitle}`]) });
  const runOf = (index) => DATA.runs.find((run) => run.group === index);
  const order = DATA.groups.map((_, index) => index).sort((a, b) => Boolean(runOf(a).arm) - Boolean(runOf(b).arm) || a - b);
  for (const index of order) {
    const group = DATA.groups[index];
    const swatch = h("i", { class: "swatch" });
    const chart = multiple(grid, `glance-${index}`, [swatch, group.title, h("span", {}, runsWords(index))]);
    live(chart, ["x", "seeds", "hidden", "glance"], () => {
      swatch.style.background = tone(group.colour);
      const panel = panels[Number(metric.value())];
      const of = (wanted) => panel.series.filter((series) => series.run.group === wanted);
      const main = mainGroup(index);
      drawSmall(chart, panel, runLines(of(index)), main === index ? [] : runLines(of(main)), group.title);
    }, () => placeMarks(chart));
  }
}

/** The main arm of a group's size; for the main arm of another size, that of the first. */
function mainGroup(index) {
  const [own, first] = [index, 0].map((group) => DATA.runs.find((run) => run.group === group));
  const main = DATA.runs.find((run) => run.scale === own.scale && !run.arm);
  return main && main.group !== index ? main.group : first.arm ? index : first.group;
}

function runsWords(group) {
  const seeds = DATA.runs.filter((run) => run.group === group).length;
  const main = mainGroup(group);
  return `${count(seeds)} ${seeds === 1 ? "seed" : "seeds"}${main === group ? "" : `; grey: ${DATA.groups[main].title}`}`;
}

function drawSmall(chart, panel, lines, behind = [], title = panel.title) {
  const { term, benchmark } = panel;
  const { grey } = look();
  const { constants, traces } = referenceMarks(referencesOf(panel.series, benchmark, panel.series[0].metric));
  // The charts of one metric share their axis.
  const range = rangeOf(term, behind.length ? runLines(panel.series) : lines, constants, traces);
  const shadows = behind.map((line) => ({ ...line, colour: grey, thin: true }));
  draw(chart, [...traces, ...lineTraces(shadows, { intervals: "none" }), ...lineTraces(lines, { width: 1.8, hide: term.hide, dense: lines.length > MOST_LABELLED })], {
    showlegend: false,
    height: SMALL,
    uirevision: xAxis(),
    shapes: referenceShapes(constants),
    xaxis: { ...trainingAxis(), nticks: 5, title: { text: "" } },
    yaxis: { range, nticks: 4, ...(term.log ? scaleOf(true, range) : {}) },
    yaxis2: FOOT,
  }, { alt: alternative(`${title}, ${panel.subtitle}`, lines), height: SMALL,
    marks: () => lineMarks(lines, constants, { named: true }) });
}

// ---------------------------------------------------------------- images

const MOST_CHANGED = 6;

/** The stimuli whose answer changed most, with what each revision answered. */
function mountChanged(element) {
  const benchmark = DATA.benchmarks.filter(({ name }) => DATA.parts.stimuli?.[name] && DATA.parts.stimuli[name].answer !== "value")
    .sort((a, b) => Number(!DATA.parts.stimuli[a.name].items.lure) - Number(!DATA.parts.stimuli[b.name].items.lure))[0];
  const part = DATA.parts.stimuli?.[benchmark?.name];
  const run = part && DATA.runs.find(({ name }) => part.runs[name]);
  if (!run) return;
  const answers = { part, run, way: 0, ...readAnswers(part, run, 0) };
  const items = part.items.id.map((_, item) => item).filter((item) => changes(answers, item) > 0)
    .sort((a, b) => changes(answers, b) - changes(answers, a) || a - b).slice(0, MOST_CHANGED);
  if (!items.length) return;
  const list = h("ul", { class: "stimuli changed" });
  const where = DATA.runs.length > 1 ? `${benchmark.title}, ${run.name}` : benchmark.title;
  element.append(h("div", { id: "changed" },
    h("p", { class: "quiet" }, `Images whose answer changed most (${where}), each with its answer at every revision. `, h("a", { href: "#stimuli" }, "All stimuli")), list));
  const sheets = new Sheets(() => render());
  const render = () => list.replaceChildren(...items.map((item) => stimulus({ ...answers, sheets, now: columnAt(answers) }, item, { brief: true })));
  live(list, [], render, () => moveStrips(list, { ...answers, now: columnAt(answers) }));
}
