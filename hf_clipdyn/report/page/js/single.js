// Models beside each other: bars with intervals for every metric, and any two metrics as a scatter.
// Over training the scatter draws paths. They describe; trends always correlate, so no correlation is computed.

registerView({
  name: "bars",
  title: "All metrics",
  rank: 10,
  wide: true,
  applies: (benchmark) => !DATA.meta.overTraining && valuesOf(benchmark).length > 0,
  mount: mountBars,
});

/** For a metric the series that its term puts first: one for each run. */
function plainest(benchmark, metric) {
  let left = valuesOf(benchmark).filter((one) => one.metric === metric);
  const chosen = { metric };
  for (const name of DIMENSIONS.slice(1)) {
    chosen[name] = usual(benchmark, left, name, chosen) ?? left[0]?.[name];
    left = left.filter((one) => one[name] === chosen[name]);
  }
  return { series: left, chosen };
}

function mountBars(element, benchmark) {
  const grid = h("div", { class: "multiples" });
  element.append(grid);
  for (const metric of metricsOf(benchmark)) {
    const term = benchmark.terms[metric];
    const { series, chosen } = plainest(benchmark, metric);
    const chart = h("div", { class: "slot" });
    grid.append(h("figure", {}, h("figcaption", {}, term.title, h("span", {}, detailOf(benchmark, chosen))), chart));
    live(chart, ["hidden"], () => drawBars(chart, benchmark, metric, series));
  }
}

function metricsOf(benchmark) {
  const known = new Set(valuesOf(benchmark).map((one) => one.metric));
  return Object.keys(benchmark.terms).filter((metric) => known.has(metric) && !benchmark.terms[metric].mirrors);
}

/** What distinguishes a number from the plainest one, in words. */
function detailOf(benchmark, chosen) {
  return DIMENSIONS.slice(1).filter((name) => ![null, undefined, "", "none", "own", "projection"].includes(chosen[name]))
    .map((name) => titleOf(benchmark, name, chosen[name], chosen)).join(", ");
}

function drawBars(chart, benchmark, metric, series) {
  const term = benchmark.terms[metric];
  const { grey } = look();
  const off = hiddenNames();
  const shown = series.filter((one) => !off.has(one.run.name));
  const points = shown.map((one) => ({ one, i: one.v.length - 1 }));
  const { constants } = referenceMarks(referencesOf(shown, benchmark, metric), "order");
  const base = term.log || !term.poles ? 0 : term.neutral;
  const known = points.filter(({ one, i }) => one.v[i] !== null);
  const ends = known.flatMap(({ one, i }) => [one.v[i], one.lo[i], one.hi[i]]).filter((each) => each !== null);
  const places = term.limits ?? [Math.min(base, ...ends, ...constants.map((one) => one.y)), Math.max(base, ...ends, ...constants.map((one) => one.y))];
  const margin = 0.04 * (places[1] - places[0] || 1);
  const height = 70 + Math.max(points.length, 2) * 26;
  const names = points.map(({ one }) => escape(cut(one.run.name, 22)));
  draw(chart, [{
    type: term.log ? "scatter" : "bar", mode: "markers", orientation: "h", base: term.log ? undefined : base, showlegend: false,
    y: points.map((_, row) => row), x: points.map(({ one, i }) => (one.v[i] === null ? null : term.log ? one.v[i] : one.v[i] - base)), width: term.log ? undefined : 0.62,
    hoverinfo: "text", hovertext: points.map(({ one, i }) => pointWords(one, i, null)),
    marker: { color: points.map(({ one, i }) => (one.ok[i] ? colour(one.run) : faded(grey, 0.35))), size: 9,
      ...(term.log ? {} : { pattern: { shape: points.map(({ one, i }) => (one.ok[i] ? "" : "/")), fgcolor: grey, size: 6 } }) },
    error_x: { type: "data", symmetric: false, thickness: 1.5, width: 4, color: look().ink,
      array: points.map(({ one, i }) => (one.hi[i] === null ? 0 : one.hi[i] - one.v[i])), arrayminus: points.map(({ one, i }) => (one.lo[i] === null ? 0 : one.v[i] - one.lo[i])) },
  }], {
    height,
    margin: { t: constants.length ? 22 : 8 },
    xaxis: { type: term.log ? "log" : "linear", ...(term.log ? {} : { range: [places[0] - margin, places[1] + margin] }), nticks: 5,
      title: { text: escape(term.unit) }, showgrid: true },
    yaxis: { tickvals: points.map((_, row) => row), ticktext: names, range: [points.length - 0.4, -0.6] },
    shapes: constants.map((one) => ({ type: "line", yref: "paper", y0: 0, y1: 1, x0: one.y, x1: one.y, line: { color: one.colour, width: 1.3, dash: one.dash } })),
    annotations: [
      ...constants.slice(0, 2).map((one, index) => ({ x: term.log ? Math.log10(one.y) : one.y, yref: "paper", y: 1, yanchor: "bottom", yshift: 12 * index, text: escape(one.title),
        showarrow: false, font: { size: 10.5, color: one.colour } })),
      ...points.map(({ one, i }, row) => ({ one, i, row })).filter(({ one, i }) => one.v[i] === null).map(({ one, i, row }) => ({
        x: 0, xref: "paper", xanchor: "left", y: row, text: "not defined", hovertext: escape(one.note[i]), showarrow: false, font: { size: 11, color: grey } })),
    ],
  }, { alt: `${term.title}: ${points.map(({ one, i }) => `${one.run.name} ${one.v[i] === null ? `not defined, ${one.note[i]}`
    : withInterval(one.v[i], one.lo[i], one.hi[i])}${one.v[i] !== null && !one.ok[i] ? ", not interpretable" : ""}`).join("; ")}.`, height });
}

// ---------------------------------------------------------------- two metrics

registerTop({ name: "scatter", title: "Two metrics against each other", rank: 90, mount: mountScatter });

/** All values by their number: {benchmark, metric, detail, series}; keys are stable, so that a view can be sent. */
function numbersOfAll() {
  const found = new Map();
  for (const benchmark of DATA.benchmarks) {
    for (const one of valuesOf(benchmark)) {
      const name = JSON.stringify([benchmark.name, ...DIMENSIONS.map((each) => one[each] ?? "")]);
      if (!found.has(name)) found.set(name, { key: name, benchmark, one, series: [] });
      found.get(name).series.push(one);
    }
  }
  return [...found.values()];
}

function mountScatter(element) {
  // After the benchmarks, whose metrics it compares.
  for (const id of ["diagnostics", "undefined", "measured"]) {
    const next = document.getElementById(id);
    if (next) { next.before(element); break; }
  }
  const every = numbersOfAll();
  const metrics = new Map();
  for (const each of every) {
    const name = `${each.benchmark.name} ${each.one.metric}`;
    metrics.set(name, [...(metrics.get(name) ?? []), each]);
  }
  if (metrics.size < 2) { element.hidden = true; return; }
  const rank = ([, [{ benchmark, one }]]) => [benchmark.terms[one.metric].overview ?? 1e6];
  const best = [...metrics].sort((a, b) => compare(rank(a), rank(b))).map(([name]) => name);
  const bar = h("div", { class: "controls" });
  const chart = h("div", { class: "slot" });
  const note = h("p", { class: "quiet" });
  element.append(h("p", { class: "quiet" }, DATA.meta.overTraining
    ? "Paths through training: every mark is a revision. This chart is only descriptive: trends always correlate, so their correlations are drawn, never tested."
    : "Every mark is a model. Models that share data or code are not independent."), bar, chart, note);
  const options = [...metrics].map(([name, [{ benchmark, one }]]) => [name, `${benchmark.title}: ${benchmark.terms[one.metric].title}`]);
  const axisOf = (letter, fallback) => {
    const metric = control(bar, { key: `scatter.${letter}`, label: `${letter === "x" ? "Across" : "Up"}`, options, fallback });
    const which = control(bar, { key: `scatter.${letter}.of`, label: `${letter === "x" ? "Across" : "Up"}: which`, options: [["", ""]] });
    return () => {
      const held = metrics.get(metric.value());
      const { chosen } = plainest(held[0].benchmark, held[0].one.metric);
      const usualOne = held.find(({ one }) => DIMENSIONS.every((name) => one[name] === chosen[name])) ?? held[0];
      which.update(held.map((each) => [each.key, detailOf(each.benchmark, each.one) || "plain"]), usualOne.key);
      return held.find((each) => each.key === which.value()) ?? usualOne;
    };
  };
  const across = axisOf("x", best[0]);
  const up = axisOf("y", best.find((name) => metrics.get(name)[0].benchmark !== metrics.get(best[0])[0].benchmark) ?? best[1]);
  live(element, ["t", "hidden", "scatter.x", "scatter.y", "scatter.x.of", "scatter.y.of"], () => drawScatter(chart, note, across(), up()));
}

function drawScatter(chart, note, across, up) {
  const off = hiddenNames();
  const { paper } = look();
  const term = (axis) => axis.benchmark.terms[axis.one.metric];
  const lost = [];
  const seen = new Set();
  const traces = [];
  for (const a of across.series) {
    const b = up.series.find((one) => one.run === a.run);
    if (!b || off.has(a.run.name)) continue;
    const both = a.r.map((r, i) => ({ r, i, j: b.r.indexOf(r) })).filter(({ i, j }) => j >= 0 && a.v[i] !== null && b.v[j] !== null);
    const known = both.filter(({ i, j }) => a.ok[i] && b.ok[j]);
    if (known.length < a.r.length) lost.push(a.run.name);
    const own = colour(a.run);
    const label = DATA.groups[a.run.group].title;
    const at = DATA.meta.overTraining ? known.findLastIndex(({ r }) => r <= revisionAt(a.run)) : -1;
    traces.push({
      type: "scatter", mode: DATA.meta.overTraining ? "lines+markers" : "markers", name: escape(label), legendgroup: label,
      showlegend: DATA.groups.length > 1 && !seen.has(label), x: known.map(({ i }) => a.v[i]), y: known.map(({ j }) => b.v[j]), hoverinfo: "text",
      hovertext: known.map(({ i, j }) => `${pointWords(a, i, term(across).title)}<br>${pointWords(b, j, term(up).title)}`),
      line: { color: faded(own, 0.55), width: 1.5 }, opacity: 1,
      marker: { color: known.map((_, index) => (index === at ? paper : own)), size: known.map((_, index) => (index === at ? 12 : DATA.meta.overTraining ? 5 : 10)),
        line: { color: own, width: known.map((_, index) => (index === at ? 2.5 : 0)) } },
      meta: { runs: DATA.runs.filter((run) => run.group === a.run.group) },
      error_x: arms(a, known.map(({ i }) => i), own), error_y: arms(b, known.map(({ j }) => j), own),
    });
    seen.add(label);
  }
  const named = (one) => broken([`${one.benchmark.title}: ${term(one).title}`, detailOf(one.benchmark, one.one)].filter(Boolean).join(", "), chart.clientWidth < 520 ? 30 : 60);
  const axis = (one) => ({ title: { text: named(one) },
    type: term(one).log ? "log" : "linear", showgrid: true });
  const height = Math.min(620, Math.max(380, chart.clientWidth * 0.55));
  draw(chart, traces, { height, xaxis: axis(across), yaxis: axis(up), uirevision: across.key + up.key },
    { alt: scatterWords(traces, term(across).title, term(up).title), height });
  note.replaceChildren([
    traces.length ? "" : "No model has both numbers.",
    lost.length ? `Left out, since one of the two is missing, not defined or not interpretable: some revisions of ${[...new Set(lost)].slice(0, 6).join(", ")}.` : "",
    DATA.meta.overTraining ? "Ring: the slider's revision." : ""].filter(Boolean).join(" "));
}

function arms(one, places, own) {
  const faint = DATA.meta.overTraining ? 0.28 : 0.7;
  return { type: "data", symmetric: false, thickness: 1, width: 0, color: faded(own, faint),
    array: places.map((i) => (one.hi[i] === null ? 0 : one.hi[i] - one.v[i])), arrayminus: places.map((i) => (one.lo[i] === null ? 0 : one.v[i] - one.lo[i])) };
}

function scatterWords(traces, across, up) {
  const said = traces.slice(0, 8).map((trace) => {
    const ends = trace.x.length > 1 ? [0, trace.x.length - 1] : [0];
    return `${trace.name}: ${ends.map((i) => `${value(trace.x[i] ?? null)} and ${value(trace.y[i] ?? null)}`).join(" to ")}`;
  });
  return `Scatter of ${across} (across) and ${up} (up). ${said.join("; ")}.`;
}
