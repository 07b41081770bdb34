// Confusion matrices from the kept trials: which class was named for which, at the slider's revision.

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

/** The place among the kept revisions of a run that the slider names: the last kept one at or before it. */
function keptAt(run, revisions) {
  const at = revisionAt(run);
  const places = revisions.map((name) => run.revisions.indexOf(name));
  return Math.max(places.findLastIndex((place) => place <= at), 0);
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
