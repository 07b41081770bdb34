// Error consistency of each revision with each other and with every person: a matrix, with people as its last rows.

registerView({
  name: "agreement",
  title: "Each revision with each other",
  rank: 10,
  wide: true,
  applies: (benchmark) => Boolean(DATA.parts.agreement?.[benchmark.name]),
  mount: mountAgreement,
});

function mountAgreement(element, benchmark) {
  const part = DATA.parts.agreement[benchmark.name];
  const key = (name) => `${benchmark.name}.agreement.${name}`;
  const { bar, chart, note } = frameOf(element, 420);
  const way = control(bar, { key: key("way"), label: "Answers", options: part.ways.map((title, i) => [i, title]) });
  const run = runControl(bar, key("run"), DATA.runs.filter(({ name }) => part.runs[name]));
  live(element, ["hidden", key("way"), key("run")], () => {
    const shown = run();
    const matrix = part.runs[shown.name][Number(way.value())];
    if (matrix) drawAgreement(chart, note, matrix, { run: shown, way: part.ways[Number(way.value())], part });
    else note.replaceChildren(`${shown.name}: not measured in this way.`);
  }, () => placeMarks(chart));
}

function drawAgreement(chart, note, matrix, { run, way, part }) {
  const { grey, human } = look();
  const { revisions, people } = matrix;
  const names = [...revisions, ...people];
  const kappa = symmetric(matrix.kappa, names.length);
  const places = names.map((_, i) => i);
  const scale = heatScale({ neutral: 0 }, kappa.flatMap((row, i) => row.filter((_, j) => j < revisions.length && i !== j)));
  const cause = (i, j) => (!matrix.n ? "not in the table, and there are no trials" : [i, j].some((at) => [0, 1].includes(matrix.accuracy[at]))
    ? "not defined: right, or wrong, on all images" : "not defined: no images in common");
  const share = (i) => (matrix.accuracy[i] === undefined ? "" : `, right on ${(100 * matrix.accuracy[i]).toFixed(1)} %`);
  const text = kappa.map((row, i) => revisions.map((name, j) => [`${escape(name)}${share(j)}`, `${broken(names[i])}${share(i)}`,
    `<b>${i === j ? "itself" : row[j] === null ? cause(i, j) : `kappa ${value(row[j], 1)}`}</b>`].join("<br>")));
  const width = chart.clientWidth;
  const cell = Math.min(30, Math.max(11, (width - 150) / revisions.length));
  const height = Math.round(Math.min(900, names.length * cell + 90));
  const every = Math.ceil(revisions.length / Math.max(2, Math.floor(width / 90)));
  const ticks = places.slice(0, revisions.length).filter((i) => (revisions.length - 1 - i) % every === 0);
  const letters = width < 500 ? 10 : 22;
  draw(chart, [{ type: "heatmap", z: kappa.map((row, i) => row.slice(0, revisions.length).map((each, j) => (i === j ? null : each))), x: places.slice(0, revisions.length), y: places,
    ...scale, xgap: 1, ygap: 1, hovertext: text, hoverinfo: "text", hoverongaps: true,
    colorbar: { thickness: 12, outlinewidth: 0, len: 1, ypad: 0, tickfont: { color: grey, size: 11 }, nticks: 6,
      title: { text: "kappa", side: "right", font: { color: grey, size: 11 } } } }], {
    height,
    margin: { r: Math.max(70, width - 110 - 120 * revisions.length) },
    plot_bgcolor: faded(grey, 0.25),
    xaxis: { tickangle: 0, tickvals: ticks, ticktext: ticks.map((i) => escape(cut(names[i], 14))), range: [-0.5, revisions.length - 0.5], showgrid: false },
    yaxis: { tickvals: places, ticktext: names.map((name) => escape(cut(name, letters))), range: [names.length - 0.5, -0.5], showgrid: false },
    shapes: people.length ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: revisions.length - 0.5, y1: revisions.length - 0.5, line: { color: human, width: 2 } }] : [],
  }, { alt: agreementWords(matrix, kappa, run, way), height, marks: () => {
    const now = keptAt(run, revisions);
    return { frame: [now - 0.5, now + 0.5] };
  } });
  const among = pairsOf(kappa, revisions.length, names.length);
  const most = run.revisions.length;
  note.replaceChildren([
    `${run.name}, ${way}. Kappa: how much more often than by chance a revision (column) and another one or a person (row) are both right or both wrong. 0 is chance at their accuracies, 1 the same errors.`,
    among.length ? `People among themselves: mean ${value(mean(among), 1)} (${count(among.length)} pairs).`
      : people.length ? "" : "The trials contain no answers of people to these images.",
    matrix.n ? `${count(matrix.n)} images.` : "Only the pairs of the table: there are no trials beside it.",
    kappa.some((row, i) => row.some((each, j) => each === null && i !== j)) ? "Grey beside the diagonal: not defined or not known; hover for the cause." : "",
    revisions.length < most ? `${count(revisions.length)} of ${count(most)} revisions, evenly spaced.` : "",
    part.of > part.ways.length ? `${count(part.of - part.ways.length)} more of these numbers are in the table only.` : "",
    "The frame is the slider's revision."].filter(Boolean).join(" "));
}

/** A matrix from the text of its lower triangle, in thousandths. */
function symmetric(text, n) {
  const flat = text.split(",").map((each) => (each === "" ? null : Number(each) / 1000));
  const at = (i, j) => flat[(i * (i + 1)) / 2 + j];
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (__, j) => (i >= j ? at(i, j) : at(j, i))));
}

/** The known values of the pairs among places from `first` on. */
function pairsOf(kappa, first, end) {
  return kappa.slice(first, end).flatMap((row, i) => row.slice(first, first + i)).filter((each) => each !== null);
}

function agreementWords({ revisions, people }, kappa, run, way) {
  const last = revisions.length - 1;
  const said = kappa.map((row, i) => [i < revisions.length ? revisions[i] : `person ${people[i - revisions.length]}`, row[last]])
    .filter((_, i) => i !== last).map(([name, each]) => `${name} ${value(each, 1)}`);
  return `Error consistency, ${way}, each revision of ${run.name} with each other${people.length ? " and with people" : ""}. ${revisions[last]} with ${said.join("; ")}.`;
}
