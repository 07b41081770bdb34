// The modality gap against the uniformity of the images: a path for each run, coloured by the logit scale.

const GAP = ["gap", "uniformity_image", "logit_scale"];

registerView({
  name: "gap",
  title: "Modality gap against uniformity",
  rank: 20,
  applies: (benchmark) => DATA.meta.overTraining && GAP.every((metric) => DATA.series.some((one) => one.benchmark === benchmark.name && one.metric === metric)),
  mount: mountGap,
});

function mountGap(element, benchmark) {
  const { chart, note } = frameOf(element, 400);
  live(element, ["hidden"], () => drawGap(chart, note, benchmark), () => placeMarks(chart));
}

function drawGap(chart, note, benchmark) {
  const { grey } = look();
  const paths = visibleRuns().flatMap((run) => {
    const [gap, uniformity, scale] = GAP.map((metric) => DATA.series.find((one) => one.benchmark === benchmark.name && one.metric === metric && one.run === run));
    if (!gap || !uniformity || !scale) return [];
    const points = gap.r.map((r, i) => ({ r, i, j: uniformity.r.indexOf(r), k: scale.r.indexOf(r) }))
      .filter(({ i, j, k }) => j >= 0 && k >= 0 && gap.ok[i] && uniformity.ok[j] && scale.v[k] !== null)
      .map(({ r, i, j, k }) => ({ r, x: uniformity.v[j], y: gap.v[i], scale: scale.v[k],
        text: `<b>${broken(run.name)}</b>, ${escape(run.revisions[r])}<br>gap ${withInterval(gap.v[i], gap.lo[i], gap.hi[i])}<br>uniformity ${withInterval(uniformity.v[j], uniformity.lo[j], uniformity.hi[j])}<br>logit scale ${value(scale.v[k])}` }));
    return points.length ? [{ run, points }] : [];
  });
  const scales = paths.flatMap(({ points }) => points.map(({ scale }) => scale));
  const [low, high] = scales.length ? [Math.min(...scales), Math.max(...scales)] : [0, 1];
  const n = DATA.meta.shades.length;
  const colorscale = DATA.meta.shades.map((pair, i) => [i / (n - 1), tone(pair)]);
  const height = 400;
  draw(chart, paths.map(({ run, points }, at) => ({ type: "scatter", mode: "lines+markers", name: escape(run.name), x: points.map((p) => p.x), y: points.map((p) => p.y),
    hoverinfo: "text", hovertext: points.map((p) => p.text), line: { color: faded(colour(run), 0.55), width: 1.5 }, showlegend: paths.length > 1, meta: { runs: [run] },
    marker: { size: 8, color: points.map((p) => p.scale), cmin: low, cmax: high > low ? high : low + 1, colorscale, showscale: at === 0,
      colorbar: { thickness: 12, outlinewidth: 0, len: 1, ypad: 0, nticks: 5, tickfont: { color: grey, size: 11 }, title: { text: "logit scale", side: "right", font: { color: grey, size: 11 } } } } })), {
    height, margin: { r: 70, b: paths.length > 1 ? 40 : 8 },
    xaxis: { title: { text: "uniformity of the images (0: all alike)" }, showgrid: true },
    yaxis: { title: { text: "modality gap" } },
  }, { alt: gapWords(paths), height, marks: () => ({ rings: paths.flatMap(({ run, points }) => {
    const now = points.findLast(({ r }) => r <= revisionAt(run));
    return now ? [{ x: now.x, y: now.y, colour: colour(run) }] : [];
  }) }) });
  note.replaceChildren([
    "Each point is a revision. Up: distance of the mean image from the mean text; at 0 they are equal. Left: embeddings of images spread over more directions; 0 is a collapse to one point.",
    "The colour is the factor on the cosines before the softmax.",
    paths.length ? "Ring: the slider's revision." : "No revision has all three numbers; the table of numbers that are not defined has the causes."].join(" "));
}

function gapWords(paths) {
  const said = paths.slice(0, 8).map(({ run, points }) => `${run.name}: ${[points[0], points.at(-1)].map((p) =>
    `${run.revisions[p.r]} gap ${value(p.y)}, uniformity ${value(p.x)}, logit scale ${value(p.scale)}`).join("; then ")}`);
  return `Modality gap against uniformity of the images. ${said.join(". ")}.`;
}
