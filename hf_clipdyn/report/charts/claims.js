// The figure of the claims: each endpoint over training, and beside it the interval of every contrast over its δ.

const CLAIMS = DATA.parts.claims;

registerFold({ name: "claims-figure", title: "The figure of the claims", rank: 10, mount: mountClaims,
  applies: () => Boolean(CLAIMS?.panels.some((panel) => panel.contrasts.length)) });

function mountClaims(element) {
  element.append(h("p", { class: "quiet" }, claimsCaption()));
  CLAIMS.panels.filter((panel) => panel.contrasts.length).forEach((panel, at) => {
    const right = h("div", { class: "contrasts" });
    const row = h("div", { class: "claim-row" });
    element.append(row);
    mountPlanned(row, panel, `claim-panel-${at}`, { behind: (run) => run.arm });
    row.append(right);
    live(right, ["*"], () => fillContrasts(right, panel));
  });
}

function claimsCaption() {
  const arms = DATA.runs.some((run) => run.arm) ? " Grey: control arms." : "";
  const spans = CLAIMS.panels.some((panel) => panel.spans.length) ? " Shaded: the registered windows." : "";
  return `Each line is a run, or a mean over seeds; its colour is the size.${arms}${spans}`
    + " Right: each contrast with its interval; the band is smaller than δ, the smallest effect of interest.";
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

// ---------------------------------------------------------------- specification curves

// Each registered contrast under every defensible choice, sorted, and below it which choice it was.

registerFold({ name: "specifications", title: "Specification curves", rank: 20, mount: mountSpecifications,
  applies: () => Boolean(CLAIMS?.curves.some((claim) => claim.parts.some((part) => part.rows.length))) });

function mountSpecifications(section) {
  section.append(h("p", { class: "quiet" }, "Each contrast under every defensible choice of analysis, sorted. The diamond is the registered analysis. "
    + "Effects inside the band are smaller than δ, the smallest effect of interest. The choices are listed below."));
  for (const claim of CLAIMS.curves) {
    const parts = claim.parts.filter((part) => part.rows.length);
    if (!parts.length) continue;
    const box = h("div", { class: "curve" }, h("h3", {}, `${claim.number}  ${claim.title}: ${claim.verdict}`));
    section.append(box);
    parts.forEach((part, at) => {
      const chart = h("div", { class: "slot" });
      reserve(chart, 240);
      box.append(h("figure", { id: `specification-${claim.number}-${at}` },
        h("figcaption", {}, h("div", {}, h("strong", {}, part.title), h("span", {}, specificationWords(part)))), chart));
      live(chart, [], () => drawCurve(chart, part));
    });
    box.append(h("ul", { class: "facts" }, ...curveFacts(claim, parts).map((text) => h("li", {}, text))));
  }
}

function specificationWords(part) {
  const favours = part.rows.filter((row) => row.v > 0).length;
  const least = part.rows.filter((row) => row.lo !== null && row.lo >= part.delta).length;
  return `${part.rows.length} specifications: ${favours} favour the claim; in ${least}, the whole interval is at δ or above.`;
}

function curveFacts(claim, parts) {
  const effects = parts.filter((part) => part.detectable !== null)
    .map((part) => `Detectable with a power of about 80 % (less with few runs), ${part.title}: ${value(part.detectable)}.`);
  const gates = claim.gates.map((gate) => `${gate.title}: ${gate.state}${gate.words ? ` (${gate.words})` : ""}.`);
  return [...(claim.cause ? [claim.cause] : []), ...gates, ...effects, CLAIMS.registration, ...claim.notes];
}

function drawCurve(chart, part) {
  const { ink, grey, human } = look();
  const several = part.choices.map(([name, options], column) => ({ name, options, column })).filter(({ options }) => options.length > 1);
  const lines = several.flatMap(({ name, options, column }) => options.map((option, index) => ({ name, option, index, column })));
  const x = part.rows.map((_, i) => i);
  const tint = part.rows.map((row) => (row.registered ? human : ink));
  const top = 190;
  const below = 17 * lines.length + 12;
  const height = top + below + 20;
  const split = (below + 10) / (height - 20);
  const estimates = {
    x, y: part.rows.map((row) => row.v), mode: "markers", hoverinfo: "text",
    text: part.rows.map((row) => escape(rowWords(row, part))),
    marker: { color: tint, size: part.rows.map((row) => (row.registered ? 10 : 5)),
      symbol: part.rows.map((row) => (row.registered ? "diamond" : "circle")) },
    error_y: errorBars(...["v", "lo", "hi"].map((name) => part.rows.map((row) => row[name])), grey),
  };
  const dots = lines.flatMap((line, depth) => part.rows.map((row, i) => ({ row, i, depth, line }))
    .filter(({ row }) => row.c[line.column] === line.index));
  const matrix = {
    x: dots.map(({ i }) => i), y: dots.map(({ depth }) => lines.length - 1 - depth), yaxis: "y2", mode: "markers", hoverinfo: "text",
    text: dots.map(({ row, line }) => escape(`${line.name}: ${line.option || "none"}. ${rowWords(row, part)}`)),
    marker: { size: 5, symbol: "square", color: dots.map(({ row }) => (row.registered ? human : ink)) },
  };
  const registered = part.rows.findIndex((row) => row.registered);
  draw(chart, [estimates, matrix], {
    height, showlegend: false, margin: { l: 8, r: 12, t: 10, b: 10, pad: 4 },
    xaxis: { range: [-0.8, part.rows.length - 0.2], showticklabels: false, ticks: "", showline: false, anchor: "y2" },
    yaxis: { domain: [split, 1], nticks: 5 },
    yaxis2: { domain: [0, split - 0.04], range: [-0.7, lines.length - 0.3], fixedrange: true, automargin: true, showgrid: false,
      zeroline: false, tickfont: { size: 11, color: grey }, tickvals: lines.map((_, depth) => lines.length - 1 - depth),
      ticktext: lines.map((line) => escape(clipped(`${line.name}: ${line.option || "none"}`, chart))) },
    shapes: [
      { type: "rect", layer: "below", xref: "paper", x0: 0, x1: 1, y0: -part.delta, y1: part.delta, line: { width: 0 }, fillcolor: faded(grey, 0.2) },
      { type: "line", layer: "below", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { width: 1, color: grey } },
      ...(registered < 0 ? [] : [{ type: "line", layer: "below", yref: "paper", x0: registered, x1: registered, y0: 0, y1: 1,
        line: { width: 1, color: human, dash: "dot" } }]),
    ],
  }, { alt: `Specification curve, ${part.title}. ${specificationWords(part)} Registered: ${registered < 0 ? "not shown" : rowWords(part.rows[registered], part)}`, height });
}

/** A label in a length that leaves room for the chart. */
function clipped(text, chart) {
  const most = chart.clientWidth < 600 ? 20 : 60;
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function rowWords(row, part) {
  const choices = part.choices.map(([name, options], i) => (row.c[i] < 0 ? "" : `${name} ${options[row.c[i]] || "none"}`)).filter(Boolean);
  return `${row.registered ? "registered: " : ""}${withInterval(row.v, row.lo, row.hi)}, ${choices.join(", ")}`;
}
