// The figure of the claims: each endpoint over training, and beside it the interval of every contrast over its δ.

const CLAIMS = DATA.parts.claims;

registerFold({ name: "claims-figure", title: "The figure of the claims", rank: 10, mount: mountClaims,
  applies: () => Boolean(CLAIMS?.panels.some((panel) => panel.contrasts.length)) });

const CLAIM_HEIGHT = 300;

function mountClaims(element) {
  element.append(h("p", { class: "quiet" }, claimsCaption()));
  CLAIMS.panels.filter((panel) => panel.contrasts.length).forEach((panel, at) => {
    const courses = panel.courses.map((course) => ({ ...course, run: DATA.runs.find(({ name }) => name === course.run), clusters: course.n, note: course.v.map(() => "") }))
      .filter(({ run }) => run);
    const chart = h("div", { class: "slot" });
    reserve(chart, CLAIM_HEIGHT);
    const left = h("figure", { id: `claim-panel-${at}` },
      h("figcaption", {}, h("div", {}, h("strong", {}, panel.title), h("span", {}, panel.place))), chart);
    const right = h("div", { class: "contrasts" });
    element.append(h("div", { class: "claim-row" }, left, right));
    live(chart, ["x", "seeds", "hidden"], () => drawCourses(chart, panel, courses), () => placeMarks(chart));
    live(right, ["*"], () => fillContrasts(right, panel));
  });
}

function claimsCaption() {
  const arms = DATA.runs.some((run) => run.arm) ? " Grey: control arms." : "";
  const spans = CLAIMS.panels.some((panel) => panel.spans.length) ? " Shaded: the registered windows." : "";
  return `Each line is a run, or a mean over seeds; its colour is the size.${arms}${spans}`
    + " Right: each contrast with its interval; the band is smaller than δ, the smallest effect of interest.";
}

function drawCourses(chart, panel, courses) {
  const { grey, human } = look();
  const lines = runLines(courses).map((line) => (line.runs[0].arm ? { ...line, colour: grey, thin: true } : line));
  const constants = panel.levels.map(({ title, v, role }) => ({ y: v, label: `${title} ${brief(v)}`, colour: role === "human" ? human : grey,
    dash: { neutral: "solid", human: "solid", untrained: "dot" }[role] ?? "dash" }));
  const range = rangeOf(panel, lines, constants);
  const spans = spansOf(panel);
  draw(chart, lineTraces(lines), {
    height: CLAIM_HEIGHT,
    showlegend: false,
    uirevision: xAxis(),
    xaxis: { ...trainingAxis(), nticks: 6 },
    yaxis: { nticks: 5, range, ...(panel.log ? scaleOf(true, range) : {}), title: { text: escape(panel.unit) } },
    yaxis2: FOOT,
    shapes: [...spans.map(({ from, to, scale }) => ({ type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: from, x1: to, line: { width: 0 },
      fillcolor: faded(spanColour(scale), 0.16) })), ...referenceShapes(constants)],
    annotations: spans.filter(({ name }, i) => spans.findIndex((other) => other.name === name) === i).map(({ name, from, to }) => ({
      text: escape(name), showarrow: false, yref: "paper", y: 1, yanchor: "bottom", xanchor: "center", font: { size: 11, color: grey },
      x: xAxis() === "logsamples" ? (Math.log10(from) + Math.log10(to)) / 2 : (from + to) / 2 })),
    margin: { t: 22 },
  }, { alt: alternative(`${panel.title}, ${panel.place}`, lines), height: CLAIM_HEIGHT,
    marks: () => lineMarks(lines.filter((line) => !line.runs[0].arm), constants) });
}

function spanColour(scale) {
  const run = DATA.runs.find((each) => !each.arm && each.scale === scale);
  return run && scale ? colour(run) : look().grey;
}

/** The windows of a panel on the chosen axis; none where the axis is not a clock. */
function spansOf(panel) {
  const runs = panel.courses.map((course) => DATA.runs.find(({ name }) => name === course.run)).filter(Boolean);
  const clock = ["samples_seen", "step", "epoch"].find((name) => runs.every((run) => run[name].every((at) => at !== null)));
  if (!clock || xAxis() === "accuracy") return [];
  const length = (run) => run[clock].at(-1);
  return panel.spans.map(([name, start, end, scale]) => {
    const run = runs.filter((each) => !each.arm && (!scale || each.scale === scale)).reduce((a, b) => (a && length(a) >= length(b) ? a : b), null);
    return { name, scale, from: run && between(run, clock, start), to: run && between(run, clock, end) };
  }).filter(({ from, to }) => from !== null && to !== null);
}

/** The place on the axis of a time between two revisions. */
function between(run, clock, time) {
  if (xAxis() === "logsamples" && clock === "samples_seen") return Math.max(time, UNTRAINED);
  const after = run[clock].findIndex((at) => at >= time - 1e-9);
  if (after <= 0) return place(run, after < 0 ? run[clock].length - 1 : 0);
  const [from, to] = [place(run, after - 1), place(run, after)];
  if (from === null || to === null) return null;
  const share = (time - run[clock][after - 1]) / (run[clock][after] - run[clock][after - 1] || 1);
  return from + share * (to - from);
}

// ---------------------------------------------------------------- contrasts

/** The contrasts of a panel: title and verdict in words, and each interval in units of its δ. */
function fillContrasts(holder, panel) {
  const reach = contrastReach();
  holder.replaceChildren(...panel.contrasts.flatMap((claim) => [
    h("h3", {}, `${claim.number}  ${claim.title}: ${claim.verdict}`),
    ...claim.parts.map((part) => h("div", { class: "contrast" },
      h("span", {}, `${part.title}${part.word && `: ${part.word}`}`), h("span", { class: "estimate" }, `${part.words}, δ = ${part.delta}`), intervalOf(part, reach)))]));
}

function contrastReach() {
  const ends = CLAIMS.panels.flatMap((panel) => panel.contrasts).flatMap((claim) => claim.parts)
    .flatMap((part) => [part.lo, part.v, part.hi].filter((end) => end !== null).map((end) => Math.abs(end / part.delta)));
  return Math.min(Math.max(1.6, ...ends) * 1.08, 6);
}

/** An interval over a band from −δ to δ, with the runs below it; an end beyond the picture is an arrow. */
function intervalOf(part, reach) {
  const { ink, grey } = look();
  const [width, height, middle] = [420, 40, 12];
  const at = (number) => width / 2 + (Math.min(Math.max(number / part.delta, -reach), reach) / reach) * (width / 2 - 8);
  const band = at(part.delta) - at(0);
  // The runs of a difference of sizes are not differences themselves: only values that surround the estimate are shown.
  const known = part.runs.filter(([, v]) => v !== null);
  const values = known.map(([, v]) => v);
  const runs = known.length > 1 && Math.min(...values) <= part.v && part.v <= Math.max(...values) ? known : [];
  const whole = part.lo !== null && part.hi !== null;
  const arrow = (end, way) => (Math.abs(end / part.delta) <= reach ? null
    : svg("path", { d: `M${at(end)} ${middle}l${-6 * way} -5v10z`, fill: ink }));
  const name = (x, text) => svg("text", { x, y: height - 2, fill: grey, "font-size": 10.5, "text-anchor": "middle" }, text);
  return h("div", { class: "interval" }, svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `${part.title}: ${part.words}, delta ${part.delta}${part.word && `, ${part.word}`}` },
  svg("rect", { x: width / 2 - band, y: 0, width: 2 * band, height: height - 14, fill: faded(grey, 0.22) }),
  svg("path", { d: `M${width / 2} 0V${height - 14}`, stroke: grey }),
  ...(whole ? [svg("path", { d: `M${at(part.lo)} ${middle}H${at(part.hi)}`, stroke: ink, "stroke-width": 2 }), arrow(part.lo, -1), arrow(part.hi, 1)].filter(Boolean) : []),
  ...runs.map(([run, v]) => svg("path", { d: `M${at(v)} ${middle + 7}v6`, stroke: grey }, svg("title", {}, `${run}: ${value(v)}`))),
  svg("circle", { cx: at(part.v), cy: middle, r: 4.5, fill: ink }),
  name(width / 2 - band, "−δ"), name(width / 2, "0"), name(width / 2 + band, "δ")));
}
