// Charts: what Python wrote as traces and layout, drawn in the colours of the theme. Here runs are switched, x values are
// exchanged by revision, a frame is chosen, and the slider's marks are laid over the chart as SVG.
// Other files may use:
//
//   look(), hue(i), faded(hex, opacity), toned(value)    colours of the present theme
//   chart(holder, {id, title, place, panel(), keys, height, small, traces})   a figure that is drawn in sight
//   draw(element, traces, layout, {alt, height, marks})

const dark = matchMedia("(prefers-color-scheme: dark)");
const coarse = matchMedia("(pointer: coarse)");
let printing = false; // paper is white

/** The colour of a pair [on white, on a dark page] that counts now. */
function tone(pair) { return pair[dark.matches && !printing ? 1 : 0]; }
function look() { return Object.fromEntries(["paper", "ink", "grey", "grid", "edge", "human"].map((name) => [name, toned(`@${name}`)])); }
function hue(index) { return toned(`@hue ${index}`); }
function shades() { return DATA.meta.colours.shade.map(tone); }
function faded(hex, opacity) { return hex + Math.round(opacity * 255).toString(16).padStart(2, "0"); }

/** Names of colours as colours of the theme ("@hue 1 .15": with an opacity). */
function toned(given) {
  if (Array.isArray(given)) return given.map(toned);
  if (given && typeof given === "object") return Object.fromEntries(Object.entries(given).map(([key, one]) => [key, toned(one)]));
  if (typeof given !== "string") return given;
  if (given[0] !== "@") return given;
  const [name, ...numbers] = given.slice(1).split(" ");
  const colours = DATA.meta.colours[name];
  const colour = tone(colours[colours.length > 1 ? numbers.shift() % colours.length : 0]);
  return numbers.length ? faded(colour, numbers[0]) : colour;
}

// ---------------------------------------------------------------- what is in sight

const MOST_BANDS = 4;
const MOST_LABELLED = 6;
const MOST_FRAMES = 14; // curves beside the slider's

/** The revision of a run, or of the first run, at a stop of the slider. */
function revisionOf(name, t) {
  const run = RUNS.get(name) ?? DATA.runs.find(({ stops }) => stops.includes(t));
  return run?.revisions[run.stops.indexOf(t)] ?? "";
}

function runsOf({ run, group }) { return run ? [run] : GROUPS.get(group)?.runs ?? []; }

/** Whether a trace is drawn: "on", "thin", "off" (its runs are switched off), or "" (others stand for it). Where some
 *  seeds of a mean are off, those that are left stand alone: a mean of chosen seeds is not the study's number. */
function sight({ run, group, of }, off) {
  const seeds = GROUPS.get(group)?.runs ?? [];
  const apart = seedsAs() === "each" || seeds.some((name) => off.has(name));
  if (of === "mean") return apart ? "" : "on";
  if (of === "seed" && !apart) return "thin";
  return run && off.has(run) ? "off" : "on";
}

/** The frame of each run or group at the slider: its last at or before it. */
function framesNow(data, off) {
  const now = stop();
  const found = new Map();
  for (const { meta } of data) {
    if (meta.frame === undefined || meta.kind !== "line" || sight(meta, off) !== "on") continue;
    const key = meta.run ?? meta.group;
    const held = found.get(key);
    if (held === undefined || (meta.frame <= now && (held > now || meta.frame > held))) found.set(key, meta.frame);
  }
  return found;
}

/** The traces of a panel that are in sight. `only`: titles of groups; `behind`: those in grey. */
function tracesOf(panel, { small = false, only = null, behind = [] } = {}) {
  const off = hiddenNames();
  const frames = framesNow(panel.data, off);
  const kept = panel.data.flatMap((trace) => {
    const { meta } = trace;
    if (only && meta.group && ![...only, ...behind].includes(meta.group)) return [];
    if (meta.of === "seed" && behind.includes(meta.group)) return [];
    const seen = meta.kind === "reference" ? "on" : sight(meta, off);
    if (!seen || (seen !== "on" && meta.kind !== "line")) return [];
    const frame = meta.frame === undefined ? "now" : frames.get(meta.run ?? meta.group) === meta.frame ? "now" : "other";
    if (frame === "other" && (frames.size > 1 || meta.kind !== "line" || !wanted(meta.frame, panel))) return [];
    return [{ ...trace, seen: behind.includes(meta.group) ? "behind" : seen, frame }];
  });
  const lines = kept.filter(({ meta, seen, frame }) => meta.kind === "line" && seen === "on" && frame === "now");
  const named = new Set(lines.map(({ name }) => name));
  const shown = kept.filter(({ meta, seen }) => meta.kind !== "band" || (lines.length <= MOST_BANDS && seen === "on"));
  // The slider's curve lies over the others.
  return shown.sort((a, b) => (a.frame === "now") - (b.frame === "now")).map((trace) => dressed(trace, panel, { small, named, dense: small && lines.length > MOST_LABELLED }));
}

/** Whether a curve beside the slider's is among those that can be told apart. */
function wanted(frame, panel) {
  const all = [...new Set(panel.data.map(({ meta }) => meta.frame).filter((each) => each !== undefined))];
  return (all.length - 1 - all.indexOf(frame)) % Math.ceil(all.length / MOST_FRAMES) === 0;
}

/** A trace as Plotly draws it now. */
function dressed({ seen, frame, ...given }, panel, { small, named, dense }) {
  const trace = toned({ ...given, ...exchanged(given, panel) });
  const { meta } = trace;
  const { grey } = look();
  if (seen === "off") trace.visible = "legendonly";
  if (seen === "thin" || frame === "other") {
    Object.assign(trace, { mode: "lines", opacity: seen === "thin" ? 0.4 : 0.75, line: { ...trace.line, width: frame === "other" ? 1.3 : 0.8 } });
    if (seen === "thin") trace.hoverinfo = "skip";
  } else if (meta.frame !== undefined && meta.kind === "line") trace.line = { ...trace.line, width: 3.4, ...(panel.ramp ? { color: hue(0) } : {}) };
  if (seen === "behind") Object.assign(trace, { line: { ...trace.line, color: grey, width: 1.2 }, marker: { ...trace.marker, color: grey } });
  if (dense && trace.mode === "lines+markers") trace.mode = "lines";
  if (meta.kind === "line" && seen !== "thin" && seen !== "behind") {
    trace.showlegend = !small && frame === "now" && (named.size > 1 || seen === "off");
    named.add(trace.name);
  }
  return trace;
}

/** x of a line over training on the axis that is chosen, and the revision of each point for its words. */
function exchanged({ meta, text }, panel) {
  if (!meta.at) return {};
  const { at } = meta;
  const own = meta.run ?? "";
  if (!panel.training) return meta.frame === undefined ? {} : { text: text.map((words) => `${words}, ${escape(revisionOf(own, meta.frame))}`) };
  const axis = DATA.meta.axes[xAxis()];
  const places = axis.of[meta.run ?? meta.group] ?? [];
  return { x: at.map((t) => (t === null || places[t] == null ? null : axis.log && places[t] <= 0 ? axis.untrained : places[t])),
    text: at.map((t) => (t === null ? "" : escape(revisionOf(own, t)))) };
}

// ---------------------------------------------------------------- drawing

const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", Roboto, sans-serif';
// A finger scrolls the page: it must not be caught by a chart. What a reader takes away is beside the chart.
const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset", scrollZoom: false };

function baseLayout(height) {
  const { paper, ink, grey, grid, edge } = look();
  const axis = { gridcolor: grid, linecolor: edge, tickcolor: edge, zeroline: false, automargin: true, tickfont: { color: grey, size: 11.5 },
    title: { font: { color: grey, size: 12 }, standoff: 8 } };
  return { height, autosize: false, margin: { l: 8, r: 12, t: 10, b: 8, pad: 4 }, paper_bgcolor: "#0000", plot_bgcolor: "#0000",
    font: { family: FONT, size: 12, color: ink }, hovermode: "closest", hoverdistance: 30, dragmode: coarse.matches ? false : "zoom",
    hoverlabel: { bgcolor: paper, bordercolor: edge, font: { family: FONT, size: 12.5, color: ink }, align: "left", namelength: -1 },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, xanchor: "left", font: { size: 12 }, itemdoubleclick: false },
    xaxis: { ...axis, showgrid: false, showline: true, ticks: "outside", ticklen: 4 }, yaxis: axis };
}

function merged(base, over) {
  const found = { ...base };
  for (const [name, given] of Object.entries(over)) {
    const both = [found[name], given].every((one) => one && typeof one === "object" && !Array.isArray(one));
    found[name] = both ? merged(found[name], given) : given;
  }
  return found;
}

const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect: { width } } of entries) {
    if (!target._redraw || !width || Math.abs(target._drawnWidth - width) < 1) continue;
    target._redraw();
  }
});

/** Keeps the room of a chart before it is drawn, so that nothing below it moves. */
function reserve(element, height) { element.style.minHeight = `${height}px`; }

/** Draws, or draws again. `alt`: a sentence for people who do not see it. */
function draw(element, traces, layout, { alt = "", height = 340, marks = null } = {}) {
  const first = element._drawnWidth === undefined;
  if (first) {
    element.classList.add("chart");
    element.setAttribute("role", "img");
    element.tabIndex = -1;
    element.addEventListener("keydown", moveSlider);
  }
  element.setAttribute("aria-label", alt);
  reserve(element, layout.height ?? height);
  const width = element.getBoundingClientRect().width || 600;
  Object.assign(element, { _drawnWidth: width, _marks: marks, _redraw: () => draw(element, traces, layout, { alt, height, marks }) });
  const base = merged({ ...baseLayout(height), width }, layout);
  if (marks) base.margin = { ...base.margin, r: Math.max(base.margin.r, labelRoom(marks().labels ?? [], width)) };
  Plotly.react(element, traces, base, CONFIG);
  placeMarks(element);
  if (!first) return;
  element.on("plotly_afterplot", () => placeMarks(element));
  element.on("plotly_legendclick", ({ curveNumber, data }) => {
    const runs = runsOf(data[curveNumber].meta ?? {});
    if (!runs.length || new Set(data.map(({ meta }) => meta?.run ?? meta?.group)).size < 2) return true;
    const off = hiddenNames();
    showRuns(runs, runs.every((run) => off.has(run)));
    return false;
  });
  widths.observe(element);
  mountTools(element);
}

/** A figure with a panel, drawn in sight and after changes; only what has frames is drawn at each step of the slider. */
function chart(holder, { id, caption, panel, keys = [], height, small = false, only = null, then = () => {} }) {
  const slot = h("div", { class: "slot" });
  reserve(slot, height);
  const figure = h("figure", { id }, h("figcaption", {}, caption), slot);
  holder.append(figure);
  const render = () => {
    const shown = panel();
    drawPanel(slot, shown, { height, small, ...(only?.(shown) ?? {}) });
    then(shown, slot);
  };
  const move = () => (panel().moving ? render() : (placeMarks(slot), then(panel(), slot)));
  live(figure, ["x", "seeds", "hidden", ...keys], render, move);
  return figure;
}

function drawPanel(slot, panel, { height, small = false, only = null, behind = [] }) {
  const traces = tracesOf(panel, { small, only, behind });
  const layout = toned(panel.layout);
  const frame = panel.frames && (panel.frames.findLast(([at]) => at <= stop()) ?? panel.frames[0]);
  if (panel.form === "map") mapLayout(traces, layout, panel, frame, slot.clientWidth);
  if (panel.training) layout.xaxis = trainingAxis();
  if (small) Object.assign(layout, { height, yaxis: { ...layout.yaxis, title: { text: "" }, nticks: 4 }, xaxis: { ...layout.xaxis, nticks: 5 } });
  layout.showlegend = !small && traces.some(({ showlegend }) => showlegend);
  layout.uirevision = `${xAxis()} ${panel.title}`;
  layout.shapes = [...(layout.shapes ?? []), ...spanShapes(panel)];
  const now = frame ? DATA.meta.stops[frame[0]]?.label : panel.moving ? DATA.meta.stops[stop()]?.label : "";
  draw(slot, traces, layout, { height, alt: plain(panel.alt) + (now ? ` Shown: ${now}.` : ""), marks: () => marksOf(traces, panel, small) });
}

/** Layout of the x axis of training. Its range is that of all runs, so that charts compare and the slider moves none. */
function trainingAxis() {
  const { title, range, log, ticks } = DATA.meta.axes[xAxis()];
  const named = ticks ? { tickvals: ticks.map(([at]) => at), ticktext: ticks.map(([, text]) => escape(cut(text, 14))) } : {};
  return { title: { text: escape(title) }, type: log ? "log" : "linear", range, ...named };
}

/** Names and words of a map, and its values at the slider. */
function mapLayout(traces, layout, { places }, frame, width) {
  const [heat] = traces;
  if (frame) heat.z = frame[1];
  const tick = (names, room) => {
    const every = Math.ceil(names.length / Math.max(2, Math.floor(room)));
    const at = names.map((_, i) => i).filter((i) => (names.length - 1 - i) % every === 0);
    return { tickvals: at, ticktext: at.map((i) => escape(cut(plain(names[i]), 16))), tickangle: 0 };
  };
  if (places.x.length) Object.assign(layout.xaxis, tick(places.x, width / 90));
  if (places.y.length) Object.assign(layout.yaxis, tick(places.y, layout.height / 16));
  heat.text = heat.text ?? heat.z.map((row, i) => row.map((z, j) => [places.y[i], places.x[j]].filter(Boolean).join("<br>")));
  heat.hovertemplate = "%{text}<br><b>%{z:.3~f}</b><extra></extra>";
}

// ---------------------------------------------------------------- what the slider moves

const LETTER = 11; // pixels

/** The places of a line, a frame, rings and labels over a chart: all that a step of the slider costs. */
function marksOf(traces, panel, small) {
  const now = stop();
  const lines = traces.filter(({ meta, visible, opacity }) => meta.kind === "line" && visible !== "legendonly" && opacity !== 0.4 && meta.frame === undefined);
  const rings = panel.training ? lines.filter(({ x }) => x.length > 1).flatMap((trace) => {
    const i = trace.meta.at.findLastIndex((at) => at >= 0 && at <= now);
    return i < 0 || trace.x[i] == null || trace.y[i] == null ? [] : [{ x: trace.x[i], y: trace.y[i], colour: trace.line.color, name: plain(trace.name) }];
  }) : [];
  const many = rings.length > MOST_LABELLED;
  const title = ({ y, name }) => `${small && rings.length > 1 ? `${cut(name, 14)} ` : ""}${brief(y)}`;
  const values = many ? [] : rings.map((ring) => ({ y: ring.y, text: title(ring), colour: ring.colour, bold: true }));
  const names = panel.names.map(([y, text, colour]) => ({ y, text: plain(text), colour: toned(colour) }));
  const column = panel.form === "map" && !panel.frames ? revisionColumn(panel.places.x) : -1;
  return { line: panel.training ? placeNow() : null, frame: column < 0 ? null : [column - 0.5, column + 0.5],
    rings: rings.map((ring) => ({ ...ring, small: many })), labels: [...names, ...values] };
}

function revisionColumn(names) {
  for (let t = stop(); t >= 0; t -= 1) {
    const at = DATA.runs.map((run) => names.indexOf(escape(revisionOf(run.name, t)))).find((each) => each >= 0);
    if (at !== undefined) return at;
  }
  return -1;
}

/** The place of the slider on the x axis of training; null where runs differ in it. */
function placeNow() {
  const axis = DATA.meta.axes[xAxis()];
  if (axis.metric) return null;
  const off = hiddenNames();
  const run = DATA.runs.find(({ name }) => !off.has(name) && axis.of[name]?.[stop()] != null);
  const place = run ? axis.of[run.name][stop()] : null;
  return place !== null && axis.log && place <= 0 ? axis.untrained : place;
}

function labelRoom(labels, width) {
  const longest = labels.reduce((most, { text, bold }) => Math.max(most, text.length * (bold ? 6.4 : 5.9)), 0);
  return longest ? Math.min(longest + 14, Math.max(0.3 * width, Math.min(190, 0.42 * width))) : 0;
}

function placeMarks(element) {
  const full = element._fullLayout;
  if (!element._marks || !full?.xaxis?.d2p) return;
  const { xaxis, yaxis, _size: size } = full;
  const { line, frame, rings, labels } = element._marks();
  const [left, right, top, bottom] = [size.l, size.l + size.w, size.t, size.t + size.h];
  const across = (x) => left + xaxis.d2p(x);
  const up = (y) => top + yaxis.d2p(y);
  const inside = (x, y) => x >= left - 1 && x <= right + 1 && y >= top - 1 && y <= bottom + 1;
  const { edge, paper, ink } = look();
  const parts = [];
  if (line !== null && inside(across(line), top)) {
    parts.push(svg("path", { d: `M${across(line)} ${top}V${bottom}`, stroke: edge, "stroke-width": 1.2, "stroke-dasharray": "2 3" }));
  }
  if (frame) {
    const [from, to] = frame.map(across);
    parts.push(svg("rect", { x: from, y: top, width: to - from, height: size.h, fill: "none", stroke: ink, "stroke-width": 2 }));
  }
  for (const { x, y, colour: stroke, small } of rings) {
    const [cx, cy] = [across(x), up(y)];
    if (inside(cx, cy)) parts.push(svg("circle", { cx, cy, r: small ? 3 : 4.5, fill: paper, stroke, "stroke-width": small ? 1.6 : 2.4, "data-x": x, "data-y": y }));
  }
  const shown = labels.filter(({ y }) => Number.isFinite(up(y)) && up(y) >= top - 12 && up(y) <= bottom + 12);
  if (shown.length * LETTER <= size.h + LETTER) {
    const letters = Math.floor((full.width - right - 8) / 5.5);
    const places = spreadOut(shown.map(({ y }) => up(y)), LETTER + 2, top + 2, bottom - 2);
    shown.forEach(({ text, colour, bold }, i) => parts.push(svg("text",
      { x: right + 8, y: places[i] + 4, fill: colour, "font-size": LETTER, "font-weight": bold ? 700 : null }, cut(text, letters))));
  }
  let layer = element.querySelector(":scope > .marks");
  if (!layer) element.append(layer = svg("svg", { class: "marks", "aria-hidden": "true" }));
  layer.replaceChildren(...parts);
}

/** Places as near to the wanted ones as a distance between them allows. */
function spreadOut(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const places = [];
  let free = low;
  for (const i of order) {
    places[i] = Math.max(wanted[i], free);
    free = places[i] + gap;
  }
  let last = high;
  for (const i of order.reverse()) {
    places[i] = Math.min(places[i], last);
    last = places[i] - gap;
  }
  return places;
}

/** Stretches of training, moved to the axis that is chosen by the stops around their ends. */
function spanShapes({ spans = [], training, data }) {
  const axis = DATA.meta.axes[xAxis()];
  const run = data.map(({ meta }) => RUNS.get(meta.run ?? GROUPS.get(meta.group)?.runs[0])).find(Boolean);
  if (!training || axis.metric || !run) return [];
  const moved = (time) => {
    const known = DATA.meta.stops.map(({ at }, t) => [at, axis.of[run.name]?.[t]]).filter(([, place]) => place != null);
    const after = known.findIndex(([at]) => at >= time);
    if (after <= 0) return (after < 0 ? known.at(-1) : known[0])?.[1] ?? null;
    const [[a, from], [b, to]] = [known[after - 1], known[after]];
    return from + ((to - from) * (time - a)) / (b - a || 1);
  };
  return spans.map(([, start, end]) => ({ type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: moved(start), x1: moved(end),
    line: { width: 0 }, fillcolor: faded(look().grey, 0.16) })).filter(({ x0, x1 }) => x0 !== null && x1 !== null);
}
