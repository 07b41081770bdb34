// Charts: the lines that Python wrote, as traces in the colours of the theme. Here runs are switched,
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
function axisOf(name) { return DATA.meta.axes[name] ?? DATA.metrics.find(({ key }) => key === name); }

// ---------------------------------------------------------------- what is in sight

// Whether a line is drawn: "on", "thin", "behind", "off" (its runs are switched off), or "" (others stand
// for it). Where some seeds of a mean are off, the others stand alone: their mean is not the study's.
function sight({ role, run, group, of }, off, { only, behind }) {
  if (role !== "value") return "on";
  if (only && only !== group) return behind === group && of !== "seed" ? "behind" : "";
  const apart = seedsAs() === "each" || GROUPS.get(group)?.runs.some((name) => off.has(name));
  if (of === "mean") return apart ? "" : "on";
  if (of === "seed" && !apart) return "thin";
  return off.has(run) ? "off" : "on";
}

// The traces of a panel that are in sight, each with its line as `meta`. Of a run or group with frames in the order
// of training the last at or before the slider counts, else its first; some others are thin beside it.
function tracesOf(panel, options) {
  const off = hiddenNames();
  const lines = panel.lines.map((line) =>
    ({ ...line, owner: line.run || line.group, seen: sight(line, off, options) }));
  const courses = lines.filter(({ role, seen }) => role === "value" && seen === "on");
  const frames = new Map();
  for (const { owner, frame } of courses) {
    if (frame >= 0 && (frame <= stop() || !frames.has(owner))) frames.set(owner, frame);
  }
  for (const line of lines) line.now = line.frame < 0 || frames.get(line.owner) === line.frame;
  const every = [...frames.size === 1 ? new Set(courses.map(({ frame }) => frame)) : []].reverse();
  const beside = every.filter((_, i) => i % Math.ceil(every.length / MOST_FRAMES) === 0);
  const main = courses.filter(({ now }) => now);
  const style = {
    bands: main.length <= MOST_BANDS,
    legend: panel.form === "lines" && new Set(main.map(({ label }) => label)).size > 1,
    dense: options.small && main.length > MOST_LABELLED,
  };
  const shown = lines.filter(({ role, seen, now, frame }) =>
    seen && (now || (role === "value" && beside.includes(frame))));
  shown.sort((a, b) => a.now - b.now); // the slider's curve lies over the others
  return [...shown.flatMap((line) => traced(line, panel, style)), ...toned(panel.data)];
}

// A line as traces: its interval, its course, hollow marks, and crosses at the foot; a reference or a row alone.
function traced(line, panel, { bands, legend, dense }) {
  const { owner, role, seen, now, path, at, y, usable, heights, look } = line;
  const places = panel.training && (xAxis().of[owner] ?? []);
  const x = places ? at.map((t) => places[t]) : line.x;
  const drawn = y.map((each, i) => (usable[i] ? each : null));
  const taken = (numbers, points) => points.map((i) => numbers[i] ?? null);
  const trace = (kind, points, up, style) => ({
    ...toned(style),
    meta: { ...line, kind, x, drawn },
    name: escape(line.label), // no name of a run is a colour
    x: taken(x, points),
    y: up,
    text: points.map((i) => (i < 0 ? "" : hoverWords(line, i))),
    showlegend: kind === "line" && now && (seen === "off" || (seen === "on" && legend)),
  });
  const every = [...y.keys()];
  if (role !== "value") return [trace("reference", every, drawn, look)];
  if (heights) return seen === "on" ? [trace("rows", every, heights, look)] : [];
  const course = trace("line", path, taken(drawn, path), { ...look, ...dressed(line, panel, dense) });
  if (seen !== "on" || !now) return [course];
  const { marks } = DATA.meta;
  const hollow = every.filter((i) => !panel.hide && !usable[i] && y[i] !== null);
  const missing = every.filter((i) => y[i] === null);
  return [
    bands && trace("band", ...band(line)),
    course,
    trace("hollow", hollow, taken(y, hollow), marks.hollow),
    trace("missing", missing, undefined, marks.missing),
  ].filter((part) => part === course || part.x?.length);
}

// The interval along neighbours that are usable, a polygon each; a lonely point becomes a bar.
function band({ of, path, usable, low, high, look: { line: { color } } }) {
  const [points, ends] = [[], []];
  let stretch = [];
  for (const i of of === "seed" ? [] : [...path, -1]) {
    if (usable[i] && low[i] !== null && high[i] !== null) {
      stretch.push(i);
    } else if (stretch.length) {
      const back = [...stretch].reverse();
      points.push(...stretch, ...back, -1);
      ends.push(...stretch.map((at) => high[at]), ...back.map((at) => low[at]), null);
      stretch = [];
    }
  }
  const line = { color: `${color} .3`, width: 0.8 };
  return [points, ends, { mode: "lines", fill: "toself", fillcolor: `${color} .14`, hoverinfo: "skip", line }];
}

// How Plotly draws the course of a line now, where that differs from its look.
function dressed({ seen, now, frame, look: { line } }, { ramp }, dense) {
  const as = (opacity, width, color = line.color) => ({ mode: "lines", opacity, line: { ...line, width, color } });
  const silent = seen === "thin" ? { hoverinfo: "skip" } : {};
  if (seen === "off") return { visible: "legendonly" };
  if (!now) return { ...as(0.75, 1.3), ...silent };
  if (seen === "thin") return { ...as(0.4, 0.8), ...silent };
  if (seen === "behind") return as(1, 1.2, "@grey");
  if (frame >= 0) return as(1, 3.4, ramp ? "@hue 0" : line.color);
  return dense ? as(1, 2) : {};
}

// Where a point is: a revision, or a place of another axis and its revision.
function whereWords({ run, at, where, frame }, i) {
  const revision = where && frame < 0 ? "" : revisionOf(run, at[i]);
  return [where?.[i], revision].filter(Boolean).join(", ");
}

function hoverWords(line, i) {
  return `<b>${escape(line.label)}</b><br>${escape(pointWords(line, i))}<br>${escape(whereWords(line, i))}`;
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
  setTimeout(() => performance.mark("charts")); // for measurements: all that is in sight is drawn in one task
  slot.on("plotly_afterplot", () => placeMarks(slot));
  slot.on("plotly_legendclick", ({ curveNumber, data }) => {
    const { run, group } = data[curveNumber].meta;
    const runs = run ? [run] : GROUPS.get(group)?.runs ?? [];
    if (!runs.length || new Set(data.map(({ meta }) => meta.owner)).size < 2) return true;
    showRuns(runs, runs.every((name) => hiddenNames().has(name)));
    return false;
  });
  widths.observe(slot);
}

// A figure with a panel, drawn in sight and after changes; a step of the slider draws only what has frames.
function chart(figure, { panel, keys = [], then = () => {}, ...options }) {
  const slot = figure.querySelector(".slot");
  const height = Number.parseInt(slot.style.minHeight, 10);
  let shown = null;
  const paint = (whole) => {
    if (whole) drawPanel(slot, shown, { height, ...options });
    else placeMarks(slot);
    then(shown, slot);
  };
  const render = () => {
    shown = panel();
    paint(true);
  };
  live(figure, ["x", "seeds", "hidden", ...keys], render, () => paint(shown.moving));
}

function drawPanel(slot, panel, { height, small = false, only = null, behind = null }) {
  const traces = tracesOf(panel, { small, only, behind });
  const layout = { height, ...toned(panel.layout) };
  const frame = panel.frames && (panel.frames.findLast(([at]) => at <= stop()) ?? panel.frames[0]);
  const width = slot.clientWidth;
  if (panel.form === "map") {
    mapTraces(traces, panel, frame);
    thin(layout.xaxis, width / 90);
    thin(layout.yaxis, layout.height / 16);
  }
  if (panel.training) layout.xaxis = { ...xAxis().layout };
  if (small) {
    layout.height = height;
    layout.yaxis = { ...layout.yaxis, title: { text: "" }, nticks: 4 };
    thin(layout.xaxis, width / 70);
  }
  layout.showlegend = !small && traces.some(({ showlegend }) => showlegend);
  layout.uirevision = `${chosen("x")} ${panel.title}`;
  const now = panel.moving ? ` Shown: ${DATA.meta.stops[frame ? frame[0] : stop()]}.` : "";
  const marks = () => marksOf(slot, traces, panel, small);
  draw(slot, { panel, traces, layout, height: layout.height, alt: panel.alt + now, marks });
}

// As many ticks as there is room for, the last among them.
function thin(axis, room) {
  const most = Math.max(2, Math.floor(room));
  axis.nticks = most;
  axis.tickangle = 0;
  const kept = (_, i, { length: n }) => (n - 1 - i) % Math.ceil(n / most) === 0;
  for (const name of ["tickvals", "ticktext"]) if (axis[name]) axis[name] = axis[name].filter(kept);
}

// The values of a map at the slider, and their words.
function mapTraces([heat], { places, causes }, frame) {
  const why = new Map(causes.map(([row, column, words]) => [`${row} ${column}`, words]));
  const named = (z) => places.states[z] ?? value(z);
  const words = (z, i, j) => (z === null ? why.get(`${i} ${j}`) ?? "not defined" : named(z));
  if (frame) heat.z = frame[1];
  heat.text = heat.z.map((row, i) => row.map((z, j) =>
    [places.y[i], places.x[j], words(z, i, j)].filter(Boolean).map(escape).join("<br>")));
}

// ---------------------------------------------------------------- what the slider moves

const LETTER = 11; // pixels

// Vertical lines, frames, rings and labels over a chart: all that a step of the slider costs.
function marksOf(slot, traces, panel, small) {
  const now = stop();
  const lines = panel.training || panel.crossed ? traces.filter(({ meta: { kind, seen, path } }) =>
    kind === "line" && (seen === "on" || seen === "behind") && path.length > 1) : [];
  const rings = lines.flatMap(({ meta: { at, x, drawn, label }, line }) => {
    const i = at.findLastIndex((t) => t >= 0 && t <= now);
    const ring = { x: x[i], y: drawn[i], colour: line.color, label };
    return ring.x == null || ring.y == null ? [] : [ring];
  });
  const many = rings.length > MOST_LABELLED;
  const title = ({ y, label }) => `${small && rings.length > 1 ? `${cut(label, 18)} ` : ""}${brief(y)}`;
  const values = many ? [] : rings.map((ring) => ({ ...ring, text: title(ring), bold: true }));
  const names = panel.names.map(([y, text, colour]) => ({ y, text, colour: toned(colour) }));
  const column = panel.form === "map" && !panel.frames ? columnNow(panel.places.x) : -1;
  return {
    verticals: panel.training ? [placeNow()] : panel.thresholds.map(atSlider),
    frames: [["x", column], ["y", slot.row ?? -1]].filter(([, at]) => at >= 0),
    rings: rings.map((ring) => ({ ...ring, small: many })),
    labels: [...names, ...values],
  };
}

// The last value of a line at or before the slider.
function atSlider({ at, y }) { return y[at.findLastIndex((t) => t >= 0 && t <= stop())] ?? null; }

// The column of a map whose name is the revision at the slider, or the last before it.
function columnNow(names) {
  const now = DATA.runs.flatMap(({ revisions, stops }) => revisions.filter((_, i) => stops[i] <= stop()));
  return names.findLastIndex((name) => now.includes(name));
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
    const [from, to] = [at - 0.5, at + 0.5].map(way === "x" ? across : up).sort((a, b) => a - b);
    const box = way === "x" ? { x: from, width: to - from } : { y: from, height: to - from };
    const frame = { x: left, y: top, width, height, fill: "none", stroke: ink, "stroke-width": 2 };
    parts.push(svg("rect", { ...frame, ...box }));
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
