// Decisions among classes from the kept trials, at the slider's revision: which class was named for which; and by class, which
// of two cues decided, beside earlier revisions and every observer.

registerView({
  name: "confusion",
  title: "Confusion matrix",
  rank: 50,
  section: "stimuli",
  applies: (benchmark) => Boolean(DATA.parts.decisions?.[benchmark.name]),
  mount: mountConfusion,
});

/** Rows of counts, (classes) x (classes + any other answer). */
function readMatrix(text, n) {
  const flat = text.split(",").map(Number);
  return Array.from({ length: n }, (_, row) => flat.slice(row * (n + 1), (row + 1) * (n + 1)));
}

function mountConfusion(element, benchmark) {
  const part = DATA.parts.decisions[benchmark.name];
  const key = (name) => `${benchmark.name}.confusion.${name}`;
  const { bar, chart, note } = frameOf(element, 340);
  const by = control(bar, { key: key("by"), label: "True class", options: part.truths.map((title, i) => [i, `by ${title}`]) });
  const way = control(bar, { key: key("way"), label: "Asked", options: part.ways.map((title, i) => [i, title]) });
  const whose = control(bar, { key: key("whose"), label: "Answers of",
    options: [["model", "the model"], ...(part.people ? [["people", "people, all observers"]] : [])] });
  const run = runControl(bar, key("run"), DATA.runs.filter((one) => part.runs[one.name]));
  live(element, ["t", "hidden", ...["by", "way", "whose", "run"].map(key)], () => {
    const one = run();
    const held = part.runs[one.name];
    const at = keptAt(one, held.revisions);
    const people = whose.value() === "people";
    way.element.hidden = people || part.ways.length < 2;
    const texts = people ? part.people : held.matrices[at][Number(way.value())];
    const where = people ? "people" : `${one.name}, ${held.revisions[at]}`;
    const truth = Number(by.value());
    drawConfusion(chart, note, part, texts && readMatrix(texts[truth], part.classes.length), { truth: part.truths[truth], where, people });
  });
}

function drawConfusion(chart, note, part, matrix, { truth, where, people }) {
  const { grey, ink } = look();
  if (!matrix) {
    note.replaceChildren(`${where}: not measured in this way.`);
    chart.replaceChildren();
    return;
  }
  const classes = part.classes;
  const totals = matrix.map((row) => row.reduce((sum, each) => sum + each, 0));
  const hasOther = matrix.some((row) => row.at(-1) > 0);
  const columns = [...classes, ...(hasOther ? ["any other"] : [])];
  const shares = matrix.map((row, i) => columns.map((_, j) => (totals[i] ? row[j] / totals[i] : null)));
  const text = matrix.map((row, i) => columns.map((name, j) => [
    `<b>${broken(`${truth} ${classes[i]}`)}</b>`, broken(`answered ${name}`),
    totals[i] ? `${count(row[j])} of ${count(totals[i])}, ${percent(shares[i][j])}` : "no image of this class", broken(where)].join("<br>")));
  const tickvals = columns.map((_, i) => i);
  const width = chart.clientWidth;
  const cell = Math.min(34, Math.max(12, (width - 130) / columns.length));
  const height = Math.round(Math.max(220, classes.length * cell + 120));
  const labels = columns.map((name) => escape(cut(name, width < 500 ? 9 : 14)));
  const right = matrix.reduce((sum, row, i) => sum + row[i], 0);
  const all = totals.reduce((sum, each) => sum + each, 0);
  const scale = isDark() ? ["#1c1d1f", "#17406b", "#2f79b8", "#8cc3f0", "#e8f4ff"] : ["#ffffff", "#cfe1f2", "#7fb2dd", "#2f73b0", "#08305f"];
  draw(chart, [{
    type: "heatmap", z: shares, x: tickvals, y: classes.map((_, i) => i), xgap: 1, ygap: 1, zmin: 0, zmax: 1,
    colorscale: scale.map((each, i) => [i / (scale.length - 1), each]), hovertext: text, hoverinfo: "text", hoverongaps: false,
    ...(cell >= 30 && height / classes.length >= 22 ? { text: matrix.map((row) => columns.map((_, j) => (row[j] ? String(row[j]) : ""))), texttemplate: "%{text}", textfont: { size: 11 } } : {}),
    colorbar: { thickness: 12, outlinewidth: 0, len: 1, ypad: 0, tickformat: ".0%", nticks: 5, tickfont: { color: grey, size: 11 } },
  }], {
    height,
    plot_bgcolor: faded(grey, 0.2),
    xaxis: { title: { text: "answer" }, tickvals, ticktext: labels, tickangle: columns.length * 62 > width ? -90 : 0, range: [-0.5, columns.length - 0.5], showgrid: false },
    yaxis: { title: { text: escape(part.truths.length > 1 ? `true class (${truth})` : "true class") }, tickvals: classes.map((_, i) => i), ticktext: labels.slice(0, classes.length),
      range: [classes.length - 0.5, -0.5], showgrid: false },
    shapes: classes.map((_, i) => ({ type: "rect", x0: i - 0.5, x1: i + 0.5, y0: i - 0.5, y1: i + 0.5, line: { color: faded(ink, 0.55), width: 1 }, fillcolor: "rgba(0,0,0,0)" })),
  }, { alt: confusionWords(classes, matrix, totals, truth, where), height });
  note.replaceChildren([
    `${where}: ${count(right)} of ${count(all)} ${people ? "answers name" : "images are named by"} their ${truth}${all ? ` (${percent(right / all)})` : ""}.`,
    part.truths.length > 1 ? "Only images with two different cues." : "",
    "Each row adds up to 100 %.", ...part.leftOut].filter(Boolean).join(" "));
}

function percent(share) { return share === null ? "not defined" : `${(100 * share).toFixed(1)} %`; }

/** The share of right answers of every class, and its most frequent wrong answer. */
function confusionWords(classes, matrix, totals, truth, where) {
  const said = matrix.map((row, i) => {
    if (!totals[i]) return `${classes[i]}: no image`;
    const wrong = row.slice(0, -1).map((n, j) => [n, j]).filter(([n, j]) => j !== i && n > 0).sort(([a], [b]) => b - a)[0];
    return `${classes[i]} ${percent(row[i] / totals[i])}${wrong ? `, most often confused with ${classes[wrong[1]]} (${percent(wrong[0] / totals[i])})` : ""}`;
  });
  return `Confusion matrix by ${truth}, ${where}. Right answers: ${said.join("; ")}.`;
}

// ---------------------------------------------------------------- class by class

registerView({
  name: "categories",
  title: "Class by class",
  rank: 60,
  applies: (benchmark) => Boolean(DATA.parts.decisions?.[benchmark.name]?.categories),
  mount: mountCategories,
});

const TEN_THOUSAND = 10000;
const TRAIL = 12; // earlier revisions, at most

function mountCategories(element, benchmark) {
  const part = DATA.parts.decisions[benchmark.name];
  const key = (name) => `${benchmark.name}.classes.${name}`;
  const { bar, chart, note } = frameOf(element, 120 + part.classes.length * 30);
  const way = control(bar, { key: key("way"), label: "Asked", options: part.categories.ways.map((title, i) => [i, title]) });
  const order = control(bar, { key: key("order"), label: "Order", options: [["name", "by name"], ["share", "by share"]] });
  const run = runControl(bar, key("run"), DATA.runs.filter((one) => part.runs[one.name]));
  live(element, ["t", "hidden", ...["way", "order", "run"].map(key)], () => {
    const one = run();
    drawCategories(chart, note, benchmark, part, { run: one, held: part.runs[one.name], way: Number(way.value()), order: order.value() });
  });
}

/** Share of the first cue among the decisions for either, with its interval and words. */
function cuePoint([s, t, n, low, high], truths) {
  const share = s + t ? s / (s + t) : null;
  return { share, lo: low === null ? null : low / TEN_THOUSAND, hi: high === null ? null : high / TEN_THOUSAND, n,
    said: share === null ? `no decision for ${truths.join(" or ")} in ${count(n)} images`
      : `${withInterval(share, low === null ? null : low / TEN_THOUSAND, high === null ? null : high / TEN_THOUSAND)}<br>${
        count(s)} ${truths[0]}, ${count(t)} ${truths[1]}, ${count(n - s - t)} other, n = ${count(n)}` };
}

function drawCategories(chart, note, benchmark, part, { run, held, way, order }) {
  const { grey, human, edge, paper } = look();
  const truths = part.truths.map(escape);
  const at = keptAt(run, held.revisions);
  const pointsAt = (index) => (held.categories[index][way] ?? []).map((row) => cuePoint(row, truths));
  const now = pointsAt(at);
  if (!now.length) {
    note.replaceChildren(`${run.name}, ${held.revisions[at]}: not measured in this way.`);
    return;
  }
  const places = part.classes.map((_, i) => i);
  if (order === "share") places.sort((a, b) => (now[b].share ?? -1) - (now[a].share ?? -1));
  const rowOf = new Map(places.map((category, row) => [category, row]));
  const dots = (points, { name, size, colour: given, hollow, dy = 0, error = false, show = true, said = name }) => {
    const known = points.map((point, i) => ({ ...point, row: rowOf.get(i) + dy, title: part.classes[i] })).filter((point) => point.share !== null);
    return { type: "scatter", mode: "markers", name: escape(name), showlegend: show, x: known.map((p) => p.share), y: known.map((p) => p.row),
      hoverinfo: "text", hovertext: known.map((p) => `<b>${broken(p.title)}</b><br>${broken(said)}<br>${p.said}`),
      marker: { size, color: hollow ? paper : given, line: { color: given, width: hollow ? 1.3 : 0 } },
      ...(error ? { error_x: errorBars(known.map((p) => p.share), known.map((p) => p.lo), known.map((p) => p.hi), given, 1.6) } : {}) };
  };
  const earlier = Array.from({ length: at }, (_, i) => i);
  const step = Math.ceil(earlier.length / TRAIL) || 1;
  const trail = earlier.filter((i) => (at - i) % step === 0);
  const own = colour(run);
  const { observers = [], mean: means = null } = part.categories;
  const traces = [
    ...trail.map((index, i) => dots(pointsAt(index), { name: "earlier revisions", size: 5, colour: faded(own, 0.16 + (0.3 * (i + 1)) / trail.length),
      show: i === 0, said: `${run.name}, ${held.revisions[index]}` })),
    ...observers.map((one, i) => dots(one.rows.map((row) => cuePoint(row, truths)), { name: "each observer", size: 6, colour: faded(human, 0.75), hollow: true,
      dy: 0.22, show: i === 0, said: one.name })),
    ...(means ? [dots(means.map(([m, low, high, n]) => ({ share: m === null ? null : m / TEN_THOUSAND, lo: low === null ? null : low / TEN_THOUSAND,
      hi: high === null ? null : high / TEN_THOUSAND, n,
      said: m === null ? "not defined" : `${withInterval(m / TEN_THOUSAND, low === null ? null : low / TEN_THOUSAND, high === null ? null : high / TEN_THOUSAND)}<br>mean of ${n} observers, interval over them` })),
    { name: "mean of the observers", size: 10, colour: human, dy: 0.22, error: true })] : []),
    dots(now, { name: held.revisions[at], size: 11, colour: own, error: true, said: `${run.name}, ${held.revisions[at]}` }),
  ];
  const width = chart.clientWidth;
  const height = 120 + places.length * (observers.length ? 40 : 30);
  const term = Object.values(benchmark.terms).find((one) => one.poles && !one.mirrors);
  const published = !observers.length && term ? Object.entries(benchmark.human).find(([metric]) => benchmark.terms[metric] === term)?.[1] : undefined;
  const lines = [{ x: 0.5, colour: edge, text: "" }, ...(published === undefined ? [] : [{ x: published, colour: human, text: `people, all classes ${value(published)}` }])];
  draw(chart, traces, {
    height,
    xaxis: { range: [-0.03, 1.03], title: { text: width < 520 ? `share of ${truths[0]} decisions` : `share of ${truths[0]} among decisions for ${truths[0]} or ${truths[1]}` }, showgrid: true },
    yaxis: { tickvals: places.map((_, row) => row), ticktext: places.map((i) => escape(cut(part.classes[i], width < 500 ? 10 : 22))), range: [places.length - 0.4, -0.6] },
    shapes: lines.map((one) => ({ type: "line", x0: one.x, x1: one.x, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: one.colour, width: 1.3 } })),
    annotations: lines.filter((one) => one.text).map((one) => ({ x: one.x, yref: "paper", y: 1, yanchor: "bottom", xanchor: one.x > 0.6 ? "right" : "left",
      text: escape(one.text), showarrow: false, font: { size: 11, color: one.colour } })),
    margin: { t: published === undefined ? 10 : 22 },
  }, { alt: categoryWords(part, now, run, held.revisions[at], means), height });
  const missing = part.classes.filter((_, i) => now[i].share === null);
  note.replaceChildren([
    `Bars are intervals over the images, which share ${part.truths.join("s and ")}s.`,
    missing.length ? `No decision for ${part.truths.join(" or ")}: ${missing.join(", ")}.` : "",
    benchmark.synthetic ? "Synthetic images: people did not judge them." : observers.length ? "" : "The trials contain no answers of people.",
    ...part.leftOut].filter(Boolean).join(" "));
}

function categoryWords(part, now, run, revision, means) {
  const said = part.classes.map((name, i) => {
    const person = means?.[i]?.[0];
    return `${name} ${withInterval(now[i].share, now[i].lo, now[i].hi)}${person == null ? "" : `, people ${value(person / TEN_THOUSAND)}`}`;
  });
  return `Share of ${part.truths[0]} decisions by class, ${run.name} at ${revision}: ${said.join("; ")}.`;
}
