// The figure of the claims: each endpoint over the samples seen, and beside it the interval of every contrast over its δ.

const CLAIMS = DATA.parts.claims;

if (CLAIMS) registerTop({ name: "claims-figure", title: "", rank: 10, mount: mountClaims });

function mountClaims(element) {
  element.classList.add("claims");
  element.append(h("p", { class: "quiet" }, claimsCaption()));
  for (const panel of CLAIMS.panels) {
    const courses = panel.courses.map((one) => ({ ...one, run: DATA.runs.find((run) => run.name === one.run) }))
      .filter((one) => one.run);
    const chart = h("div", { class: "slot" });
    const left = h("figure", {},
      h("figcaption", {}, h("strong", {}, panel.title), h("span", {}, panel.place)), chart);
    const right = h("div", { class: "contrasts" });
    element.append(h("div", { class: "claim-row" }, left, right));
    live(chart, ["t", "hidden"], () => drawCourses(chart, panel, courses));
    mountContrasts(right, panel);
  }
}

function claimsCaption() {
  const arms = DATA.runs.some((run) => run.arm) ? " Grey: control arms." : "";
  const spans = CLAIMS.panels.some((one) => one.spans.length) ? " Shaded: the registered windows." : "";
  const some = CLAIMS.panels.some((one) => one.contrasts.length);
  const right = some ? " Right: each contrast with its interval; the band is smaller than δ, the smallest effect of interest."
    : " No contrast has an estimate in these data.";
  return `The figure of the claims. Each line is a run; its colour is the scale.${arms}${spans}${right}`;
}

/** The colour of a run's scale, as in the bar; control arms are grey. */
function claimColour(run) { return run.arm ? look().grey : colour(run); }

function drawCourses(chart, panel, courses) {
  const seen = new Set(visibleRuns());
  const shown = courses.filter((one) => seen.has(one.run));
  const axis = DATA.meta.axes.some(([name]) => name === "logsamples") ? "logsamples" : xAxis();
  const several = shown.length > 1;
  const traces = shown.flatMap((one) => courseTraces(one, axis, several));
  const height = 300;
  return draw(chart, traces, {
    height,
    showlegend: false,
    hovermode: "closest",
    xaxis: { ...trainingAxis(axis), nticks: 6 },
    yaxis: { nticks: 5, type: panel.log ? "log" : "linear", range: courseRange(panel) },
    shapes: [...spanShapes(panel, axis), ...levelShapes(panel)],
    annotations: [...spanNames(panel, axis), ...levelNames(panel, height)],
    margin: { l: 8, r: 14 + 6.2 * Math.max(0, ...panel.levels.map((one) => levelName(one).length)), t: 22, b: 8, pad: 4 },
  }, { alt: coursesInWords(panel, shown), height });
}

function courseTraces(one, axis, several) {
  const tint = claimColour(one.run);
  const x = one.r.map((index) => place(one.run, index, axis));
  const texts = one.v.map((v, i) => escape([
    withInterval(v, one.lo[i], one.hi[i]), one.n[i] ? `n = ${count(one.n[i])}` : "",
    one.ok[i] ? "" : "not interpretable", one.run.revisions[one.r[i]], one.run.name,
  ].filter(Boolean).join(", ")));
  const line = {
    x, y: one.v.map((v, i) => (one.ok[i] ? v : null)), text: texts, hoverinfo: "text", mode: "lines+markers",
    name: escape(one.run.name), line: { color: tint, width: one.run.arm || several ? 1.1 : 2 },
    marker: { size: several ? 3.5 : 6, color: tint }, opacity: one.run.arm ? 0.75 : 1,
  };
  const silent = one.v.map((v, i) => (one.ok[i] ? null : v));
  const hollow = silent.some((v) => v !== null) && !one.run.arm ? [{
    x, y: silent, text: texts, hoverinfo: "text", mode: "markers", name: "not interpretable",
    marker: { size: 6, color: look().paper, line: { color: look().grey, width: 1.2 } },
  }] : [];
  return [...(several ? [] : intervalBand(one, x, tint)), line, ...hollow];
}

/** The intervals of a run that is alone, as a band: forth along the upper ends and back along the lower ones. */
function intervalBand(one, x, tint) {
  const known = one.r.map((_, i) => i).filter((i) => one.ok[i] && one.lo[i] !== null && one.hi[i] !== null);
  if (known.length < 2) return [];
  const back = [...known].reverse();
  return [{
    x: [...known, ...back].map((i) => x[i]), y: [...known.map((i) => one.hi[i]), ...back.map((i) => one.lo[i])],
    fill: "toself", fillcolor: faded(tint, 0.16), line: { width: 0 }, mode: "lines", hoverinfo: "skip",
  }];
}

const ofSamples = (axis) => axis === "logsamples" || axis === "samples";

function spanShapes(panel, axis) {
  if (!ofSamples(axis)) return [];
  return panel.spans.map(([, start, end, scale]) => ({
    type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: Math.max(start, UNTRAINED), x1: end, line: { width: 0 },
    fillcolor: faded(scale ? spanColour(scale) : look().grey, 0.16),
  }));
}

function spanColour(scale) {
  const run = DATA.runs.find((one) => !one.arm && one.scale === scale);
  return run ? claimColour(run) : look().grey;
}

function spanNames(panel, axis) {
  if (!ofSamples(axis)) return [];
  const first = panel.spans.filter(([name], i) => panel.spans.findIndex(([other]) => other === name) === i);
  return first.map(([name, start, end]) => ({
    text: escape(name), showarrow: false, yref: "paper", y: 1, yanchor: "bottom", xanchor: "center",
    x: middleOf(Math.max(start, UNTRAINED), end, axis), font: { size: 11, color: look().grey },
  }));
}

/** The middle of a span; places on a logarithmic axis are powers of ten. */
function middleOf(start, end, axis) {
  return axis === "logsamples" ? (Math.log10(start) + Math.log10(end)) / 2 : (start + end) / 2;
}

function levelShapes(panel) {
  return panel.levels.map(({ v, role }) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: v, y1: v, layer: "below",
    line: { color: role === "human" ? look().human : look().grey, width: 1,
      dash: { neutral: "solid", human: "solid", untrained: "dot" }[role] ?? "dash" },
  }));
}

/** The lower and the upper end of the values axis: the metric's limits, else all that is drawn with a margin. */
function courseRange(panel) {
  if (panel.limits && !panel.log) return panel.limits;
  const known = [...panel.courses.flatMap((one) => [...one.v, ...(panel.courses.length > 1 ? [] : [...one.lo, ...one.hi])]),
    ...panel.levels.map((one) => one.v)].filter((v) => v !== null && (!panel.log || v > 0)).map(panel.log ? Math.log10 : Number);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const margin = (high - low || 1) * 0.06;
  return [low - margin, high + margin];
}

function levelName({ title, v }) { return `${title} ${value(v)}`; }

function levelNames(panel, height) {
  const [low, high] = courseRange(panel);
  const at = (v) => (panel.log ? Math.log10(v) : v);
  const pixels = (height - 80) / (high - low);
  let last = Infinity;
  return [...panel.levels].sort((a, b) => b.v - a.v).map((level) => {
    const wanted = (at(level.v) - low) * pixels;
    last = Math.min(wanted, last - 14); // a name keeps a line's distance from the one above it
    return {
      text: escape(levelName(level)), showarrow: false, xref: "paper", x: 1, xanchor: "left", y: at(level.v),
      yshift: last - wanted, xshift: 4, font: { size: 11, color: level.role === "human" ? look().human : look().grey },
    };
  });
}

function coursesInWords(panel, shown) {
  const parts = shown.slice(0, 12).map((one) => {
    const known = one.v.map((_, i) => i).filter((i) => one.ok[i] && one.v[i] !== null);
    if (!known.length) return `${one.run.name}: nothing interpretable`;
    const [first, last] = [known[0], known.at(-1)];
    const end = `${value(one.v[last])} at ${one.run.revisions[one.r[last]]}`;
    return `${one.run.name}: ${first === last ? end : `from ${value(one.v[first])} at ${one.run.revisions[one.r[first]]} to ${end}`}`;
  });
  const rest = shown.length > 12 ? ` And ${shown.length - 12} more runs.` : "";
  return `${panel.title}, ${panel.place}. ${parts.join(". ")}.${rest}`;
}

// ---------------------------------------------------------------- contrasts

/** The contrasts of a panel: title and verdict in words, and each interval in units of its δ. */
function mountContrasts(holder, panel) {
  const reach = contrastReach();
  for (const claim of panel.contrasts) {
    holder.append(h("h4", {}, `${claim.number}  ${claim.title}: ${claim.verdict}`));
    for (const part of claim.parts) {
      const word = part.word && `: ${part.word}`;
      const bar = h("div", { class: "interval" });
      holder.append(h("div", { class: "contrast" },
        h("span", {}, `${part.title}${word}`), h("span", { class: "estimate" }, `${part.words}, δ = ${part.delta}`), bar));
      live(bar, [], () => drawInterval(bar, part, reach));
    }
  }
}

function contrastReach() {
  const ends = CLAIMS.panels.flatMap((panel) => panel.contrasts).flatMap((claim) => claim.parts)
    .flatMap((part) => [part.lo, part.v, part.hi].filter((one) => one !== null).map((one) => Math.abs(one / part.delta)));
  return Math.min(Math.max(1.6, ...ends) * 1.08, 6);
}

function drawInterval(bar, part, reach) {
  const { ink, grey } = look();
  const at = (number) => (number === null ? null : number / part.delta);
  const inside = (number) => Math.min(Math.max(number, -reach), reach);
  const whole = part.lo !== null && part.hi !== null;
  const hidden = [part.lo, part.hi].map((end) => whole && Math.abs(at(end)) > reach);
  const known = part.runs.filter(([, v]) => v !== null);
  // The runs of a difference of scales are not differences themselves: only values that surround the estimate are shown.
  const values = known.map(([, v]) => v);
  const runs = Math.min(...values) <= part.v && part.v <= Math.max(...values) ? known : [];
  const traces = [
    whole ? { x: [inside(at(part.lo)), inside(at(part.hi))], y: [0, 0], mode: "lines", line: { color: ink, width: 2 }, hoverinfo: "skip" } : null,
    runs.length > 1 ? {
      x: runs.map(([, v]) => inside(at(v))), y: runs.map(() => -0.55), mode: "markers", hoverinfo: "text",
      text: runs.map(([name, v]) => escape(`${name}: ${value(v)}`)), marker: { symbol: "line-ns-open", size: 6, color: grey },
    } : null,
    {
      x: [inside(at(part.v))], y: [0], mode: "markers", hoverinfo: "text", text: [escape(`${part.title}: ${part.words}`)],
      marker: { size: 9, color: ink },
    },
    ...hidden.map((beyond, side) => (beyond ? {
      x: [side ? reach : -reach], y: [0], mode: "markers", hoverinfo: "skip",
      marker: { symbol: side ? "triangle-right" : "triangle-left", size: 9, color: ink },
    } : null)),
  ].filter(Boolean);
  draw(bar, traces, {
    height: 44, showlegend: false, dragmode: false, margin: { l: 4, r: 4, t: 2, b: 14, pad: 0 },
    xaxis: { range: [-reach * 1.04, reach * 1.04], tickvals: [-1, 0, 1], ticktext: ["−δ", "0", "δ"], fixedrange: true,
      showline: false, ticks: "", automargin: false, tickfont: { size: 10, color: grey } },
    yaxis: { range: [-1, 1], visible: false, fixedrange: true },
    shapes: [
      { type: "rect", layer: "below", x0: -1, x1: 1, y0: -1, y1: 1, line: { width: 0 }, fillcolor: faded(grey, 0.22) },
      { type: "line", layer: "below", x0: 0, x1: 0, y0: -1, y1: 1, line: { width: 1, color: grey } },
    ],
  }, { alt: `${part.title}: ${part.words}, delta ${part.delta}${part.word && `, ${part.word}`}`, height: 44 });
}
