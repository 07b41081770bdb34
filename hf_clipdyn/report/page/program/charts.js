// Charts: what Python wrote as traces and layout, drawn in the colours of the theme. Here runs are switched,
// x is looked up by revision, a frame is chosen, and the slider's marks are laid over the chart as SVG.

const dark = matchMedia("(prefers-color-scheme: dark)");
const coarse = matchMedia("(pointer: coarse)");
const MOST_BANDS = 4;
const MOST_LABELLED = 6;
const MOST_FRAMES = 14; // curves beside the slider's
let printing = false; // paper is white

// Names of colours as colours of the theme ("@hue 1 .15": with an opacity), in whatever they stand.
function toned(given) {
  if (Array.isArray(given)) return given.map(toned);
  if (given && typeof given === "object") {
    return Object.fromEntries(Object.entries(given).map(([key, each]) => [key, toned(each)]));
  }
  if (typeof given !== "string" || given[0] !== "@") return given;
  const [name, ...numbers] = given.slice(1).split(" ");
  const colours = DATA.meta.colours[name];
  const pair = colours[colours.length > 1 ? numbers.shift() % colours.length : 0];
  const colour = pair[dark.matches && !printing ? 1 : 0];
  return numbers.length ? colour + Math.round(numbers[0] * 255).toString(16).padStart(2, "0") : colour;
}
function look() { return toned({ paper: "@paper", ink: "@ink", grey: "@grey", edge: "@edge" }); }
function hue(index) { return toned(`@hue ${index}`); }

// ---------------------------------------------------------------- axes

// The x axis of training that is chosen: its layout, and by run or group the place at each stop.
function xAxis() { return axisOf(chosen("x") ?? DATA.meta.axis); }
function axisOf(name) { return DATA.meta.axes[name] ?? metricAxis(DATA.metrics.find(({ key }) => key === name)); }

// A metric as an axis; models without training have one stop.
function metricAxis({ title, range, lines }) {
  const [of, ends] = [{}, {}];
  for (const { run, group, at, where, y, low, high, usable } of lines) {
    y.forEach((v, i) => {
      const name = at ? run ?? group : where[i];
      of[name] ??= [];
      ends[name] ??= [];
      if (!usable[i]) return;
      of[name][at?.[i] ?? 0] = v;
      ends[name][at?.[i] ?? 0] = [low?.[i] ?? v, high?.[i] ?? v];
    });
  }
  return { title, metric: true, of, ends, layout: { title: { text: escape(title) }, range } };
}

// ---------------------------------------------------------------- what is in sight

// Whether a trace is drawn: "on", "thin", "behind", "off" (its runs are switched off), or "" (others stand
// for it). Where some seeds of a mean are off, those that are left stand alone: their mean is not the study's.
function sight({ kind, run, group, of }, off, { only, behind }) {
  if (kind === "reference" || kind === "map" || kind === "margin") return "on";
  if (only && behind === group) return of === "seed" ? "" : "behind";
  if (only && only !== group) return "";
  const apart = seedsAs() === "each" || GROUPS.get(group)?.runs.some((name) => off.has(name));
  if (of === "mean") return apart ? "" : "on";
  if (of === "seed" && !apart) return "thin";
  return off.has(run) ? "off" : "on";
}

// The frame of each run or group at the slider: its last at or before it.
function framesNow(traces) {
  const now = stop();
  const found = new Map();
  for (const { meta: { frame, kind, seen, run, group } } of traces) {
    if (frame === undefined || kind !== "line" || seen !== "on") continue;
    const held = found.get(run ?? group);
    if (held === undefined || (frame <= now && (held > now || frame > held))) found.set(run ?? group, frame);
  }
  return found;
}

// The traces of a panel that are in sight, with the numbers of their lines as `meta`.
function tracesOf(panel, options) {
  const off = hiddenNames();
  const all = panel.data.map((trace) => {
    const meta = { ...panel.lines[trace.meta.line], ...trace.meta };
    return { ...trace, meta: { ...meta, seen: sight(meta, off, options) } };
  });
  const frames = framesNow(all);
  const every = [...new Set(all.map(({ meta }) => meta.frame ?? -1))].filter((frame) => frame >= 0).reverse();
  const beside = new Set(every.filter((_, i) => i % Math.ceil(every.length / MOST_FRAMES) === 0));
  for (const { meta } of all) {
    meta.now = meta.frame === undefined || frames.get(meta.run ?? meta.group) === meta.frame;
  }
  const lines = all.filter(({ meta }) => meta.kind === "line" && meta.seen === "on" && meta.now);
  const shown = all.filter(({ meta: { kind, seen, now, frame } }) => {
    if (!seen || (kind !== "line" && seen !== "on")) return false;
    if (kind === "band") return now && lines.length <= MOST_BANDS;
    return now || (kind === "line" && frames.size < 2 && beside.has(frame));
  });
  const named = new Set(lines.map(({ name }) => name));
  const dense = options.small && lines.length > MOST_LABELLED;
  // The slider's curve lies over the others.
  shown.sort((a, b) => a.meta.now - b.meta.now);
  return shown.map((trace) => filled(dressed(toned(trace), panel, { dense, legend: named.size > 1 }), panel));
}

// A trace as Plotly draws it now.
function dressed(trace, panel, { dense, legend }) {
  const { kind, seen, now, frame } = trace.meta;
  const restyle = (opacity, width, color) => {
    const line = { ...trace.line, width, color: color ?? trace.line?.color };
    Object.assign(trace, { mode: "lines", opacity, line });
  };
  if (seen === "off") trace.visible = "legendonly";
  else if (!now) restyle(0.75, 1.3);
  else if (seen === "thin") restyle(0.4, 0.8);
  else if (seen === "behind") restyle(1, 1.2, look().grey);
  else if (kind === "line" && frame !== undefined) restyle(1, 3.4, panel.ramp ? hue(0) : null);
  else if (kind === "line" && dense) restyle(1, 2);
  if (seen === "thin") trace.hoverinfo = "skip";
  trace.showlegend = kind === "line" && now && (seen === "off" || (seen === "on" && legend));
  return trace;
}

// x of a line over training on the axis that is chosen, and the words at the pointer.
function filled(trace, panel) {
  const { meta } = trace;
  if (!meta.points) return trace;
  const places = panel.training ? xAxis().of[meta.run ?? meta.group] ?? [] : [];
  const x = panel.training ? meta.at.map((t) => places[t]) : meta.x;
  if (x) trace.x = meta.points.map((i) => x[i] ?? null);
  trace.text = meta.points.map((i) => (i < 0 ? "" : hoverWords(meta, i)));
  return trace;
}

// Where a point is: a revision, or a place of another axis and its revision.
function whereWords({ run, at, where, frame }, i) {
  const revision = where && frame === undefined ? "" : revisionOf(run, at[i]);
  return [where?.[i], revision].filter(Boolean).join(", ");
}

function hoverWords(line, i) {
  return `<b>${escape(line.name)}</b><br>${escape(pointWords(line, i))}<br>${escape(whereWords(line, i))}`;
}

// ---------------------------------------------------------------- drawing

// A finger scrolls the page: it must not be caught by a chart. What a reader takes away is beside the chart.
const CONFIG = { displayModeBar: false, responsive: false, doubleClick: "reset", scrollZoom: false };

const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect: { width } } of entries) {
    if (width && Math.abs(target.drawn.width - width) >= 1) draw(target, target.drawn);
  }
});

// Draws, or draws again. `alt`: a sentence for people who do not see it; `marks`: what lies over it.
function draw(slot, drawing) {
  const { traces, layout, alt, height, marks } = drawing;
  const first = !slot.drawn;
  if (first) fill(slot, { class: "slot chart", role: "img", tabindex: -1, onkeydown: moveSlider }, []);
  const width = slot.getBoundingClientRect().width || 600;
  slot.drawn = { ...drawing, width };
  slot.setAttribute("aria-label", alt);
  slot.style.minHeight = `${height}px`;
  const margin = { r: Math.max(DATA.meta.template.layout.margin.r, labelRoom(marks().labels, width)) };
  const dragmode = coarse.matches ? false : "zoom";
  const template = toned(DATA.meta.template);
  Plotly.react(slot, traces, { template, width, height, margin, dragmode, ...layout }, CONFIG);
  placeMarks(slot);
  if (!first) return;
  slot.on("plotly_afterplot", () => placeMarks(slot));
  slot.on("plotly_legendclick", ({ curveNumber, data }) => {
    const { run, group } = data[curveNumber].meta;
    const runs = run ? [run] : GROUPS.get(group)?.runs ?? [];
    if (!runs.length || new Set(data.map(({ meta }) => meta.run ?? meta.group)).size < 2) return true;
    showRuns(runs, runs.every((name) => hiddenNames().has(name)));
    return false;
  });
  widths.observe(slot);
}

// A figure with a panel, drawn in sight and after changes; a step of the slider draws only what has frames.
function chart(figure, { panel, keys = [], small = false, only = null, behind = null, then = () => {} }) {
  const slot = figure.querySelector(".slot");
  const height = Number.parseInt(slot.style.minHeight, 10);
  let shown = null;
  const paint = () => drawPanel(slot, shown, { height, small, only, behind });
  const render = () => {
    shown = panel();
    paint();
    then(shown, slot);
  };
  const move = () => {
    if (shown.moving) paint();
    else placeMarks(slot);
    then(shown, slot);
  };
  live(figure, ["x", "seeds", "hidden", ...keys], render, move);
}

function drawPanel(slot, panel, { height, small, only, behind }) {
  const traces = tracesOf(panel, { small, only, behind });
  const layout = { height, ...toned(panel.layout) };
  const frame = panel.frames && (panel.frames.findLast(([at]) => at <= stop()) ?? panel.frames[0]);
  if (panel.form === "map") mapTraces(traces, layout, panel, frame, slot.clientWidth);
  if (panel.training) layout.xaxis = { ...xAxis().layout };
  if (small) {
    layout.height = height;
    layout.yaxis = { ...layout.yaxis, title: { text: "" }, nticks: 4 };
    layout.xaxis.nticks = 5;
  }
  layout.showlegend = !small && traces.some(({ showlegend }) => showlegend);
  layout.uirevision = `${chosen("x")} ${panel.title}`;
  const now = panel.moving ? ` Shown: ${DATA.meta.stops[frame ? frame[0] : stop()]}.` : "";
  const marks = () => marksOf(slot, traces, panel, small);
  draw(slot, { panel, traces, layout, height: layout.height, alt: panel.alt + now, marks });
}

// The values of a map at the slider, their words, and as many names as there is room for.
function mapTraces([heat], layout, { places, causes }, frame, width) {
  const why = new Map(causes.map(([row, column, words]) => [`${row} ${column}`, words]));
  const named = (z) => places.states[z] ?? value(z);
  const words = (z, i, j) => (z === null ? why.get(`${i} ${j}`) ?? "not defined" : named(z));
  if (frame) heat.z = frame[1];
  heat.text = heat.z.map((row, i) => row.map((z, j) =>
    [places.y[i], places.x[j], words(z, i, j)].filter(Boolean).map(escape).join("<br>")));
  for (const [axis, room] of [[layout.xaxis, width / 90], [layout.yaxis, layout.height / 16]]) {
    const n = axis.tickvals.length;
    const every = Math.ceil(n / Math.max(2, Math.floor(room)));
    const kept = (_, i) => (n - 1 - i) % every === 0;
    const [tickvals, ticktext] = [axis.tickvals.filter(kept), axis.ticktext.filter(kept)];
    Object.assign(axis, { tickvals, ticktext, tickangle: 0 });
  }
}

// ---------------------------------------------------------------- what the slider moves

const LETTER = 11; // pixels

// Vertical lines, frames, rings and labels over a chart: all that a step of the slider costs.
function marksOf(slot, traces, panel, small) {
  const now = stop();
  const lines = panel.training || panel.path ? traces.filter(({ meta: { kind, seen, points } }) =>
    kind === "line" && (seen === "on" || seen === "behind") && points.length > 1) : [];
  const rings = lines.flatMap(({ meta, x, y, line, name }) => {
    const i = meta.points.findLastIndex((point) => meta.at[point] >= 0 && meta.at[point] <= now);
    const ring = { x: x[i], y: y[i], colour: line.color, name: plain(name) };
    return ring.x == null || ring.y === null ? [] : [ring];
  });
  const many = rings.length > MOST_LABELLED;
  const title = ({ y, name }) => `${small && rings.length > 1 ? `${cut(name, 14)} ` : ""}${brief(y)}`;
  const values = many ? [] : rings.map((ring) => ({ ...ring, text: title(ring), bold: true }));
  const names = panel.names.map(([y, text, colour]) => ({ y, text: plain(text), colour: toned(colour) }));
  const column = panel.form === "map" && !panel.frames ? columnNow(panel.places.x) : -1;
  return {
    verticals: panel.training ? [placeNow()] : (panel.thresholds ?? []).map(atSlider),
    frames: [["x", column], ["y", slot.row ?? -1]].filter(([, at]) => at >= 0),
    rings: rings.map((ring) => ({ ...ring, small: many })),
    labels: [...names, ...values],
  };
}

// The last value of a line at or before the slider.
function atSlider({ at, y }) { return y[at.findLastIndex((t) => t >= 0 && t <= stop())] ?? null; }

// The column of a map whose name is the revision at the slider, or the last before it.
function columnNow(names) {
  for (let t = stop(); t >= 0; t -= 1) {
    const at = DATA.runs.map(({ name }) => names.indexOf(revisionOf(name, t))).find((each) => each >= 0);
    if (at !== undefined) return at;
  }
  return -1;
}

// The place of the slider on the x axis of training; null where runs differ in it.
function placeNow() {
  const { metric, of } = xAxis();
  const off = hiddenNames();
  const run = DATA.runs.find(({ name }) => !off.has(name) && of[name]?.[stop()] != null);
  return metric || !run ? null : of[run.name][stop()];
}

function labelRoom(labels, width) {
  const longest = Math.max(0, ...labels.map(({ text, bold }) => text.length * (bold ? 6.4 : 5.9)));
  return longest ? Math.min(longest + 14, Math.max(0.3 * width, Math.min(190, 0.42 * width))) : 0;
}

function placeMarks(slot) {
  const full = slot._fullLayout;
  if (!full?.xaxis?.d2p) return;
  const { xaxis, yaxis, _size: { l: left, t: top, w: width, h: height } } = full;
  const { verticals, frames, rings, labels } = slot.drawn.marks();
  const { edge, paper, ink } = look();
  const [right, bottom] = [left + width, top + height];
  const across = (x) => left + xaxis.d2p(x);
  const up = (y) => top + yaxis.d2p(y);
  const inside = (x, y) => x >= left - 1 && x <= right + 1 && y >= top - 1 && y <= bottom + 1;
  const dashed = { stroke: edge, "stroke-width": 1.2, "stroke-dasharray": "2 3" };
  const parts = verticals.filter((x) => x !== null && inside(across(x), top))
    .map((x) => svg("path", { d: `M${across(x)} ${top}V${bottom}`, ...dashed }));
  for (const [way, at] of frames) {
    const [from, to] = [at - 0.5, at + 0.5].map(way === "x" ? across : up);
    const [start, size] = [Math.min(from, to), Math.abs(to - from)];
    const box = way === "x" ? { x: start, width: size } : { y: start, height: size };
    const frame = { fill: "none", stroke: ink, "stroke-width": 2 };
    parts.push(svg("rect", { x: left, y: top, width, height, ...box, ...frame }));
  }
  for (const { x, y, colour: stroke, small } of rings) {
    const [cx, cy] = [across(x), up(y)];
    const shape = { r: small ? 3 : 4.5, fill: paper, stroke, "stroke-width": small ? 1.6 : 2.4 };
    if (inside(cx, cy)) parts.push(svg("circle", { cx, cy, ...shape, "data-x": x, "data-y": y }));
  }
  parts.push(...placedLabels(labels.filter(({ y }) => inside(left, up(y))), up, full));
  let layer = slot.querySelector(":scope > .marks");
  if (!layer) slot.append(layer = svg("svg", { class: "marks", "aria-hidden": "true" }));
  layer.replaceChildren(...parts);
}

// Labels at the right, as near to their heights as a distance between them allows; none where not all fit.
function placedLabels(labels, up, { width, _size: { l, t: top, w, h: height } }) {
  if (labels.length * LETTER > height + LETTER) return [];
  const left = l + w + 8;
  const letters = Math.floor((width - left) / 5.5);
  const sorted = labels.map((label) => ({ ...label, at: up(label.y) })).sort((a, b) => a.at - b.at);
  let free = top + 2;
  for (const label of sorted) {
    label.at = Math.max(label.at, free);
    free = label.at + LETTER + 2;
  }
  let last = top + height - 2;
  for (const label of sorted.reverse()) {
    label.at = Math.min(label.at, last);
    last = label.at - LETTER - 2;
  }
  return sorted.map(({ at, text, colour, bold }) => {
    const type = { "font-size": LETTER, "font-weight": bold ? 700 : null };
    return svg("text", { x: left, y: at + 4, fill: colour, ...type }, cut(text, letters));
  });
}
