// Models beside each other without training: a row for each number, with its interval on the scale of its metric.

registerView({
  name: "forest",
  title: "All metrics",
  rank: 10,
  wide: true,
  applies: (benchmark) => !DATA.meta.overTraining && panelsOf(benchmark, "training").length > 0,
  mount: mountForest,
});

/** All metrics of a benchmark, each with the number that its term puts first. */
function mountForest(element, benchmark) {
  const { terms } = benchmark;
  const firsts = grouped(panelsOf(benchmark, "training"), ({ of }) => of.metric).map(([{ of }]) => of).filter(({ metric }) => !terms[metric].mirrors);
  const order = Object.keys(terms);
  fillForest(element, firsts.sort((a, b) => order.indexOf(a.metric) - order.indexOf(b.metric)).map((number) =>
    ({ title: terms[number.metric].title, subtitle: detailOf(number), series: number.series, benchmark, term: terms[number.metric] })));
}

/** One model: a row for each metric of the overview. Several: a row a model, a column a metric. */
function mountModels(element, panels) {
  if (DATA.runs.length === 1) fillForest(element, panels);
  else mountComparison(element, panels);
}

/** A row for each metric and run: value, interval, chance, pixels and people. */
function fillForest(element, panels) {
  const body = h("tbody", {});
  const several = DATA.runs.length > 1;
  const table = h("table", { class: "forest stacked" }, h("caption", { class: "unseen" }, "Values with their intervals"),
    h("thead", {}, h("tr", {}, ["metric", ...(several ? ["model"] : []), "on the scale of the metric", "value and interval", "beside it"]
      .map((title) => h("th", { scope: "col" }, title)))), body);
  const holder = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Values with their intervals" }, table);
  element.append(holder);
  live(holder, ["hidden"], () => {
    const off = hiddenNames();
    body.replaceChildren(...panels.flatMap((panel) => panel.series.filter(({ run }) => !off.has(run.name)).map((series, at) => {
      const beside = referencesOf([series], panel.benchmark, series.metric).filter(({ values }) => values.length === 1);
      return h("tr", {},
        at ? h("td", {}) : h("th", { scope: "row" }, panel.title, h("span", {}, panel.subtitle)),
        several ? h("td", {}, series.run.name) : null,
        h("td", {}, dotRow(series, panel, beside)), h("td", {}, seriesWords(series)),
        h("td", {}, beside.map(({ title, values, colour: given }) => h("span", { style: `color:${given}` }, `${title} ${number(values[0], 3)} `))));
    })));
  });
  mountTools(holder, { picture: false, rows: () => rowsOfTable(table) });
}

function rowsOfTable(table) {
  return [...table.rows].map((row) => [...row.cells].map((cell) => cell.innerText.trim().replace(/\s+/g, " ")));
}

/** The only value of a series of one revision. */
function seriesWords(series) {
  const i = series.v.length - 1;
  if (series.v[i] === null) return `not defined: ${series.note[i]}`;
  return withInterval(series.v[i], series.lo[i], series.hi[i]) + (series.ok[i] ? "" : ", not interpretable");
}

/** Value and interval as a dot and a line; references are ticks. */
function dotRow(series, panel, references) {
  const [width, height] = [220, 18];
  const i = series.v.length - 1;
  const point = { ...series, y: series.v[i], lo: series.lo[i], hi: series.hi[i], ok: series.ok[i] };
  const rivals = panel.series.map((each) => ({ on: true, points: [{ y: each.v.at(-1), lo: each.lo.at(-1), hi: each.hi.at(-1), ok: each.ok.at(-1) }] }));
  const [low, high] = rangeOf(panel.term, rivals, references.map(({ values }) => ({ y: values[0] })));
  const at = (y) => 6 + ((width - 12) * ((panel.term.log ? Math.log10(y) : y) - low)) / (high - low || 1);
  const clipped = (y) => Math.min(Math.max(at(y), 0), width);
  const { edge, grey, paper } = look();
  const own = point.ok ? colour(series.run) : grey;
  return svg("svg", { class: "dots", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("path", { d: `M0 ${height / 2}H${width}`, stroke: edge, "stroke-width": 0.6 }),
    ...references.map(({ values, colour: stroke, dash }) =>
      svg("path", { d: `M${clipped(values[0])} 1V${height - 1}`, stroke, "stroke-width": 1.6, "stroke-dasharray": dash === "solid" ? null : "3 2" })),
    ...(point.y === null ? [] : [
      ...(point.lo === null ? [] : [svg("path", { d: `M${clipped(point.lo)} ${height / 2}H${clipped(point.hi)}`, stroke: own, "stroke-width": 2.2 })]),
      svg("circle", { cx: clipped(point.y), cy: height / 2, r: 4.5, fill: point.ok ? own : paper, stroke: own, "stroke-width": 1.6 })]));
}

// ---------------------------------------------------------------- several models

/** Models by metrics: a click on a heading sorts; beside each value its difference from the model of comparison. */
function mountComparison(element, panels) {
  const bar = choiceBar();
  const compared = DATA.parts.differences ?? { words: "", of: {} };
  const names = Object.keys(compared.of);
  const against = control(bar, { key: "against", label: "Paired differences from", options: [["", "none"], ...names.map((name) => [name, name])] });
  const head = h("tr", {});
  const body = h("tbody", {});
  const table = h("table", { class: "forest models" }, h("caption", { class: "unseen" }, "Models and metrics"), h("thead", {}, head), body);
  const holder = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Models and metrics" }, table);
  const note = h("p", { class: "quiet" });
  element.append(bar, holder, note);
  const cellOf = (panel, run) => panel.series.find((series) => series.run === run);
  const orders = [{ title: "model", key: (run) => run.name }, ...panels.map((panel) =>
    ({ title: panel.title, subtitle: panel.subtitle, key: (run) => cellOf(panel, run)?.v.at(-1) ?? null }))];
  live(holder, ["hidden", "sort", "against"], () => {
    const [column, down] = sortChosen(orders.length);
    head.replaceChildren(...orders.map(({ title, subtitle }, at) => h("th", { scope: "col", "aria-sort": at !== column ? null : down ? "descending" : "ascending" },
      h("button", { type: "button", class: "sort", onclick: () => state.set("sort", `${at}${at === column ? (down ? "a" : "d") : at ? "d" : "a"}`) },
        title, at === column ? (down ? " ↓" : " ↑") : ""), subtitle ? h("span", {}, subtitle) : null)));
    const key = orders[column].key;
    const runs = visibleRuns().sort((a, b) => (key(a) === null) - (key(b) === null) || (key(a) < key(b) ? -1 : 1) * (down ? -1 : 1));
    body.replaceChildren(...runs.map((run) => h("tr", {}, h("th", { scope: "row" }, run.name), panels.map((panel) => {
      const series = cellOf(panel, run);
      if (!series) return h("td", {}, "not measured");
      const difference = compared.of[against.value()]?.[run.name]?.[panel.at];
      return h("td", {}, dotRow(series, panel, []), h("span", {}, seriesWords(series)),
        difference ? h("span", { class: "difference" }, differenceWords(difference)) : null);
    }))));
    note.replaceChildren(against.value() ? compared.words : "");
  });
  mountTools(holder, { picture: false, rows: () => rowsOfTable(table) });
}

function sortChosen(columns) {
  const [, column, way] = /^(\d{1,3})([ad])$/.exec(state.get("sort", "")) ?? [];
  return Number(column) < columns ? [Number(column), way === "d"] : [columns > 1 ? 1 : 0, true];
}

function differenceWords([v, lo, hi, p]) {
  const signed = (given) => (given > 0 ? "+" : "") + value(given, 1);
  return `${signed(v)}${lo === null ? "" : ` [${signed(lo)}, ${signed(hi)}]`}${p === null ? "" : `, p ${p < 0.001 ? "< 0.001" : `= ${p.toFixed(3)}`}`}`;
}
