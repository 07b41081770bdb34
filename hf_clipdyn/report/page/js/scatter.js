// Any two metrics against each other. Over training the scatter draws paths. They describe; trends always correlate, so no
// correlation is computed.

registerFold({ name: "scatter", title: "Two metrics against each other", rank: 30, mount: mountScatter,
  applies: () => new Set(DATA.series.filter(({ role }) => role === "value").map(({ benchmark, metric }) => `${benchmark} ${metric}`)).size > 1 });

function mountScatter(element) {
  // Keys are stable, so that a view can be sent.
  const every = DATA.benchmarks.flatMap((benchmark) => panelsOf(benchmark, "training").map(({ of }) =>
    ({ benchmark, of, key: JSON.stringify([benchmark.name, ...Object.keys(of.words).map((name) => of[name] ?? "")]) })));
  const metrics = new Map(grouped(every, ({ benchmark, of }) => `${benchmark.name} ${of.metric}`).map((held) => [`${held[0].benchmark.name} ${held[0].of.metric}`, held]));
  const rank = ([, [{ benchmark, of }]]) => benchmark.terms[of.metric].overview ?? 1e6;
  const best = [...metrics].sort((a, b) => rank(a) - rank(b)).map(([name]) => name);
  const bar = choiceBar();
  const chart = h("div", { class: "slot" });
  const note = h("p", { class: "quiet" });
  element.append(h("p", { class: "quiet" }, DATA.meta.overTraining
    ? "Paths through training: every mark is a revision. This chart is only descriptive: trends always correlate, so their correlations are drawn, never tested."
    : "Every mark is a model. Models that share data or code are not independent."), bar, chart, note);
  const options = [...metrics].map(([name, [{ benchmark, of }]]) => [name, `${benchmark.title}: ${of.words.metric}`]);
  const axisOf = (letter, fallback) => {
    const metric = control(bar, { key: `scatter.${letter}`, label: `${letter === "x" ? "Across" : "Up"}`, options, fallback });
    const which = control(bar, { key: `scatter.${letter}.of`, label: `${letter === "x" ? "Across" : "Up"}: which`, options: [["", ""]] });
    return () => {
      const held = metrics.get(metric.value());
      which.update(held.map((each) => [each.key, detailOf(each.of) || "plain"]));
      return held.find((each) => each.key === which.value());
    };
  };
  const across = axisOf("x", best[0]);
  const up = axisOf("y", best.find((name) => metrics.get(name)[0].benchmark !== metrics.get(best[0])[0].benchmark) ?? best[1]);
  live(element, ["hidden", "scatter.x", "scatter.y", "scatter.x.of", "scatter.y.of"], () => drawScatter(chart, note, across(), up()), () => placeMarks(chart));
}

function drawScatter(chart, note, across, up) {
  const off = hiddenNames();
  const term = (axis) => axis.benchmark.terms[axis.of.metric];
  const lost = [];
  const seen = new Set();
  const traces = [];
  const paths = [];
  for (const a of across.of.series) {
    const b = up.of.series.find((one) => one.run === a.run);
    if (!b || off.has(a.run.name)) continue;
    const both = a.r.map((r, i) => ({ r, i, j: b.r.indexOf(r) })).filter(({ i, j }) => j >= 0 && a.v[i] !== null && b.v[j] !== null);
    const known = both.filter(({ i, j }) => a.ok[i] && b.ok[j]);
    if (known.length < a.r.length) lost.push(a.run.name);
    const own = colour(a.run);
    const label = DATA.groups[a.run.group].title;
    if (DATA.meta.overTraining) paths.push({ a, b, known, own });
    traces.push({
      type: "scatter", mode: DATA.meta.overTraining ? "lines+markers" : "markers", name: escape(label), legendgroup: label,
      showlegend: DATA.groups.length > 1 && !seen.has(label), x: known.map(({ i }) => a.v[i]), y: known.map(({ j }) => b.v[j]), hoverinfo: "text",
      hovertext: known.map(({ i, j }) => `${pointWords(a, i, term(across).title)}<br>${pointWords(b, j, term(up).title)}`),
      line: { color: faded(own, 0.55), width: 1.5 }, opacity: 1,
      marker: { color: own, size: DATA.meta.overTraining ? 5 : 10 },
      meta: { runs: DATA.runs.filter((run) => run.group === a.run.group) },
      error_x: arms(a, known.map(({ i }) => i), own), error_y: arms(b, known.map(({ j }) => j), own),
    });
    seen.add(label);
  }
  const named = (one) => broken([`${one.benchmark.title}: ${term(one).title}`, detailOf(one.of)].filter(Boolean).join(", "), chart.clientWidth < 520 ? 30 : 60);
  const axis = (one) => ({ title: { text: named(one) },
    type: term(one).log ? "log" : "linear", showgrid: true });
  const height = Math.min(620, Math.max(380, chart.clientWidth * 0.55));
  draw(chart, traces, { height, xaxis: axis(across), yaxis: axis(up), uirevision: across.key + up.key },
    { alt: scatterWords(traces, term(across).title, term(up).title), height, marks: () => ({ rings: paths.flatMap(({ a, b, known, own }) => {
      const now = known.findLast(({ r }) => r <= revisionAt(a.run));
      return now ? [{ x: a.v[now.i], y: b.v[now.j], colour: own }] : [];
    }) }) });
  note.replaceChildren([
    traces.length ? "" : "No model has both numbers.",
    lost.length ? `Left out, since one of the two is missing, not defined or not interpretable: some revisions of ${[...new Set(lost)].slice(0, 6).join(", ")}.` : "",
    DATA.meta.overTraining ? "Ring: the slider's revision." : ""].filter(Boolean).join(" "));
}

function arms(one, places, own) {
  const [values, low, high] = [one.v, one.lo, one.hi].map((numbers) => places.map((i) => numbers[i]));
  return errorBars(values, low, high, faded(own, DATA.meta.overTraining ? 0.28 : 0.7));
}

function scatterWords(traces, across, up) {
  const said = traces.slice(0, 8).map((trace) => {
    const ends = trace.x.length > 1 ? [0, trace.x.length - 1] : [0];
    return `${trace.name}: ${ends.map((i) => `${value(trace.x[i] ?? null)} and ${value(trace.y[i] ?? null)}`).join(" to ")}`;
  });
  return `Scatter of ${across} (across) and ${up} (up). ${said.join("; ")}.`;
}
