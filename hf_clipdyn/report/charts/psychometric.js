// Responses over contrast, a line for each epoch, and the contrasts of equal response.

registerView({
  name: "psychometric",
  title: "Psychometric curves, epoch by epoch",
  rank: 30,
  wide: true,
  applies: (benchmark) => Boolean(DATA.parts.psychometric?.[benchmark.name]),
  mount: mountPsychometric,
});

function mountPsychometric(element, benchmark) {
  const part = DATA.parts.psychometric[benchmark.name];
  const key = (name) => `${benchmark.name}.response.${name}`;
  const { bar, chart, note } = frameOf(element, 420);
  const tests = new Map(part.conditions.map(({ condition, title }) => [condition, title]));
  const test = control(bar, { key: key("test"), label: "Test", options: [...tests] });
  const where = control(bar, { key: key("condition"), label: "Condition", options: [["", ""]] });
  const run = runControl(bar, key("run"), DATA.runs.filter((one) => part.runs[one.name]));
  live(element, ["t", "hidden", ...["test", "condition", "run"].map(key)], () => {
    const offered = part.conditions.map((one, i) => [i, one]).filter(([, one]) => one.condition === test.value());
    // Where people need another contrast than at the criterion, the curves have most to say.
    const effect = ([, { human, parameter }]) => Math.abs(Math.log((human ?? 1) / (parameter || human || 1)));
    const usualOne = offered.reduce((best, each) => (effect(each) > effect(best) ? each : best))[0];
    where.update(offered.map(([i, one]) => [i, one.where]), usualOne);
    const one = run();
    drawPsychometric(chart, note, benchmark, part, Number(where.value()), { run: one, held: part.runs[one.name] });
  });
}

function drawPsychometric(chart, note, benchmark, part, at, { run, held }) {
  const { human, grey } = look();
  const condition = part.conditions[at];
  const places = held.revisions.map((name) => run.revisions.indexOf(name));
  const kept = keptAt(run, held.revisions);
  const drawn = drawnRevisions(places.map((_, i) => i), kept);
  const own = colour(run);
  const points = (curve) => (curve ?? []).map((log, i) => ({ x: condition.contrasts[i], y: log === null ? null : 10 ** (log / 1000) }));
  const text = (name) => (p) => `<b>${broken(name)}</b><br>contrast ${number(p.x)}<br>${p.y === null ? "no response" : `${number(p.y)} times the criterion`}`;
  const of = (i) => ({ x: (p) => p.x, y: (p) => p.y, text: text(`${run.name}, ${held.revisions[i]}`), name: held.revisions[i] });
  const now = held.curves[kept][at];
  const wanted = { benchmark: benchmark.name, metric: part.metric, role: "value", run, texts: "own", probe: "projection",
    condition: condition.condition, level: condition.level, parameter: condition.parameter };
  const equal = DATA.series.find((one) => Object.entries(wanted).every(([name, given]) => one[name] === given));
  const i = equal ? equal.r.indexOf(places[kept]) : -1;
  const height = explorerHeight(chart);
  const traces = [
    ...drawn.filter((index) => index !== kept).map((index) => rampTrace(points(held.curves[index][at]), { ...of(index), i: index, n: places.length })),
    ...Object.entries(part.baselines).filter(([, curves]) => curves[at]).map(([name, curves]) => ({
      ...rampTrace(points(curves[at]), { name, bold: false, i: 0, n: 1, x: (p) => p.x, y: (p) => p.y, text: text(name) }),
      line: { color: grey, width: 1.4, dash: "dash" } })),
    ...(now ? [rampTrace(points(now), { ...of(kept), bold: true, own })] : []),
  ];
  const known = traces.flatMap((trace) => trace.y).filter((y) => y !== null && y > 0).map(Math.log10);
  const contrasts = condition.contrasts.map(Math.log10);
  const range = [Math.min(-0.3, ...known) - 0.1, Math.max(0.3, ...known) + 0.15];
  const lines = [
    { x: condition.human, colour: human, text: `people ${condition.human === null ? "" : number(condition.human)}`, width: 2.4 },
    { x: i < 0 ? null : equal.v[i], colour: own, text: i < 0 || equal.v[i] === null ? "" : `model ${number(equal.v[i])}`, width: 1.8, lo: equal?.lo[i], hi: equal?.hi[i] },
  ].filter((one) => one.x !== null && one.x !== undefined && one.x > 0);
  draw(chart, traces, {
    height, showlegend: false, uirevision: at, margin: { t: 36 },
    xaxis: { type: "log", title: { text: "contrast" }, tickvals: condition.contrasts, ticktext: condition.contrasts.map((each) => number(each)),
      range: [Math.min(...contrasts, ...lines.map((one) => Math.log10(one.x))) - 0.08, Math.max(...contrasts, ...lines.map((one) => Math.log10(one.x))) + 0.08] },
    yaxis: { ...scaleOf(true, range), range, title: { text: "distance / criterion" } },
    shapes: [
      { type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, layer: "below", line: { color: grey, width: 1.3 } },
      ...lines.flatMap((one) => [
        ...(one.lo != null ? [{ type: "rect", x0: one.lo, x1: one.hi, yref: "paper", y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: faded(one.colour, 0.1) }] : []),
        { type: "line", x0: one.x, x1: one.x, yref: "paper", y0: 0, y1: 1, layer: "below", line: { color: one.colour, width: one.width, dash: one.colour === human ? "solid" : "dash" } }]),
    ],
    annotations: [
      { xref: "paper", x: 0, xanchor: "left", y: 0, yanchor: "bottom", text: "equal response", showarrow: false, font: { size: 11, color: grey } },
      ...lines.map((one, index) => ({ x: Math.log10(one.x), yref: "paper", y: 1, yanchor: "bottom", yshift: 14 * index, text: escape(one.text), showarrow: false,
        font: { size: 11.5, color: one.colour } })),
    ],
  }, { alt: responseWords(condition, run, held.revisions[kept], equal, i), height });
  note.replaceChildren(`Bold: ${held.revisions[kept]}; thin lines: the other epochs${drawn.length < places.length || part.sparse ? " (not all)" : ""}, `, rampWords(run, places), [
    `Dashed grey: ${Object.keys(part.baselines).join(", ") || "no baseline"}.`,
    "Distance between the stimuli with and without the grating, divided by the distance that sets the criterion.",
    now ? "" : "At this revision, the distance that sets the criterion is 0.",
    i >= 0 && equal.v[i] === null ? `No contrast of equal response: ${equal.note[i]}.` : ""].filter(Boolean).join(" "));
}

function responseWords(condition, run, revision, equal, i) {
  const people = condition.human === null ? "" : ` People need ${number(condition.human)}.`;
  const model = i < 0 ? "" : equal.v[i] === null ? ` The model has no contrast of equal response: ${equal.note[i]}.`
    : ` The model needs ${withInterval(equal.v[i], equal.lo[i], equal.hi[i])}.`;
  return `Response over contrast, ${condition.title}, ${condition.where}, a line for each epoch of ${run.name}. At ${revision}:${model}${people}`;
}
