// Answers for the shape, the texture and another class as one path for each run, in a triangle with a corner for each.

const SHARES = ["shape_share", "texture_share", "other_share"];
const TOP = Math.sqrt(3) / 2;

registerView({
  name: "cues",
  title: "From one cue to the other",
  rank: 20,
  applies: (benchmark) => DATA.meta.overTraining && SHARES.every((metric) => cueSeries(benchmark, metric, "value").length > 0),
  mount: mountCues,
});

function cueSeries(benchmark, metric, role) {
  return DATA.series.filter((one) => one.benchmark === benchmark.name && one.metric === metric && one.role === role);
}

function mountCues(element, benchmark) {
  const key = (name) => `${benchmark.name}.cues.${name}`;
  const { bar, chart, note } = frameOf(element, 440);
  const offered = new Map(cueSeries(benchmark, SHARES[0], "value").map((one) => [one.variant, one.words.variant]));
  const way = control(bar, { key: key("way"), label: "Prompts", options: [...offered], fallback: offered.has("") ? "" : undefined });
  live(element, ["hidden", key("way")], () => drawCues(chart, note, benchmark, way.value()), () => placeMarks(chart));
}

/** Places of the three shares of a run in the triangle, where all are known. */
function cuePoints(benchmark, run, role, variant) {
  const [shape, texture, other] = SHARES.map((metric) => cueSeries(benchmark, metric, role).find((one) => one.run === run && one.variant === variant));
  if (!shape || !texture || !other) return [];
  return shape.r.map((r, i) => ({ r, i, j: texture.r.indexOf(r), k: other.r.indexOf(r) }))
    .filter(({ i, j, k }) => j >= 0 && k >= 0 && [shape.v[i], texture.v[j], other.v[k]].every((each) => each !== null))
    .map(({ r, i, j, k }) => ({ r, x: shape.v[i] + other.v[k] / 2, y: TOP * other.v[k],
      said: `shape ${withInterval(shape.v[i], shape.lo[i], shape.hi[i])}<br>texture ${withInterval(texture.v[j], texture.lo[j], texture.hi[j])}<br>another class ${withInterval(other.v[k], other.lo[k], other.hi[k])}` }));
}

function drawCues(chart, note, benchmark, variant) {
  const { grey, human, ink, grid } = look();
  const runs = visibleRuns();
  const paths = runs.map((run) => ({ run, points: cuePoints(benchmark, run, "value", variant) })).filter(({ points }) => points.length);
  const people = runs.flatMap((run) => cuePoints(benchmark, run, "human", variant)).slice(0, 1);
  const chance = paths.length === 1 ? cuePoints(benchmark, paths[0].run, "chance", variant) : [];
  const n = DATA.meta.shades.length;
  const colorscale = DATA.meta.shades.map((pair, i) => [i / (n - 1), tone(pair)]);
  const path = (points, over) => ({ type: "scatter", x: points.map((p) => p.x), y: points.map((p) => p.y), hoverinfo: "text", ...over });
  const narrow = chart.clientWidth < 520;
  const height = narrow ? 340 : 440;
  const corners = [[0, 0], [1, 0], [0.5, TOP]];
  const lines = [0.25, 0.5, 0.75].flatMap((share) => corners.map((corner, at) => {
    const [a, b] = corners.filter((_, i) => i !== at).map((other) => other.map((each, axis) => share * corner[axis] + (1 - share) * each));
    return { type: "line", x0: a[0], y0: a[1], x1: b[0], y1: b[1], layer: "below", line: { color: grid, width: 1 } };
  }));
  draw(chart, [
    path([...corners, corners[0]].map(([x, y]) => ({ x, y })), { mode: "lines", line: { color: grey, width: 1 }, hoverinfo: "skip", showlegend: false }),
    ...(chance.length ? [path(chance, { mode: "markers", name: "the same answers in random order", marker: { symbol: "x", size: 8, color: grey },
      hovertext: chance.map((p) => `the same answers in random order<br>${p.said}`) })] : []),
    ...paths.map(({ run, points }) => path(points, { mode: "lines+markers", name: escape(run.name), showlegend: paths.length > 1, meta: { runs: [run] },
      line: { color: faded(colour(run), 0.55), width: 1.5 }, marker: { size: 7, color: points.map((p) => p.r), colorscale, cmin: 0, cmax: Math.max(1, run.revisions.length - 1) },
      hovertext: points.map((p) => `<b>${broken(run.name)}</b>, ${escape(run.revisions[p.r])}<br>${p.said}`) })),
    ...(people.length ? [path(people, { mode: "markers", name: "people", marker: { size: 11, symbol: "diamond", color: human }, hovertext: people.map((p) => `<b>people</b><br>${p.said}`) })] : []),
  ], {
    height, shapes: lines, margin: { b: 40 },
    xaxis: { range: [-0.12, 1.12], visible: false }, yaxis: { range: [-0.1, TOP + 0.1], visible: false, scaleanchor: "x", scaleratio: 1 },
    annotations: [["texture", "top"], ["shape", "top"], ["another class", "bottom"]].map(([text, yanchor], i) => ({ x: corners[i][0], y: corners[i][1], yanchor, text, showarrow: false, font: { size: 12, color: ink } })),
  }, { alt: cueWords(paths, people), height, marks: () => ({ rings: paths.flatMap(({ run, points }) => {
    const now = points.findLast(({ r }) => r <= revisionAt(run));
    return now ? [{ x: now.x, y: now.y, colour: colour(run) }] : [];
  }) }) });
  note.replaceChildren([
    "Each point is a revision, from dark to light over training; the nearer to a corner, the more answers of that sort.",
    chance.length ? "Crosses: the shares that the same answers have in random order." : "",
    people.length ? "Diamond: people." : benchmark.synthetic ? "Synthetic images: people did not judge them." : "The trials contain no answers of people.",
    "Ring: the slider's revision."].filter(Boolean).join(" "));
}

function cueWords(paths, people) {
  const plain = (text) => text.replaceAll("<br>", ", ");
  const said = paths.slice(0, 8).map(({ run, points }) => `${run.name}: ${[points[0], points.at(-1)].map((p) => `${run.revisions[p.r]} ${plain(p.said)}`).join("; then ")}`);
  return `Shares of answers for shape, texture and another class. ${said.join(". ")}.${people.length ? ` People: ${plain(people[0].said)}.` : ""}`;
}
