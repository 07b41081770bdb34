// Lines of a chart: points of runs or of means over seeds, their intervals, marks and references. Other files may use:
//
//   runLines(series, {x, label, colour})       lines over training: one for each run, or the mean of each group
//   lineTraces(lines, {intervals, width})      traces of Plotly for them
//   referencesOf(series, benchmark, metric)    [{title, colour, dash, series, values, isHuman}]
//   errorBars(values, low, high, colour)       for `error_y` and `error_x`
//   rangeOf(term, lines, constants)            range of the y axis;  referenceShapes(constants)  level lines
//   lineMarks(lines, constants)                what the slider moves, and the names beside the axes
//
// A line: {name, label, runs, group, colour, dash, split, thin, on, points: [{x, y, lo, hi, ok, hole, note, text, series,
// i, revision}]}. `hole`: the span before the point is so long that a line across it would show what nobody measured.

/** Where the colour says something else, the dashes tell the groups of runs apart. */
const DASHES = ["solid", "dash", "dot", "dashdot"];

/** Lines over training. `label` and `colour` are given where lines stand for something else than runs. */
function runLines(series, { x = xAxis(), label = null, colour: given = null } = {}) {
  const off = hiddenNames();
  if (seedsAs() === "mean") return meanLines(series, { x, label, given, off });
  return series.map((one) => {
    const thin = DATA.runs.filter((run) => run.group === one.run.group).length > 1;
    return {
      name: one.run.name,
      label: label ?? (thin ? DATA.groups[one.run.group].title : one.run.name),
      runs: [one.run],
      group: one.run.group,
      colour: given ?? colour(one.run),
      dash: given ? DASHES[one.run.group % DASHES.length] : DATA.groups[one.run.group].dash,
      split: label !== null,
      thin,
      on: !off.has(one.run.name),
      points: withHoles(one.v.map((y, i) => ({
        x: place(one.run, one.r[i], x), y, lo: one.lo[i], hi: one.hi[i], ok: one.ok[i], note: one.note[i],
        n: one.n[i], series: one, i, revision: one.r[i], text: pointWords(one, i, label),
      })), x),
    };
  });
}

const HOLE = { share: 0.15, times: 3 };

/** Marks the points behind a span that is long beside the axis and beside the other spans. */
function withHoles(points, x) {
  const at = points.map((point) => (x in LOGARITHMIC ? Math.log10(point.x) : point.x));
  const spans = at.slice(1).map((each, i) => each - at[i]);
  if (spans.length < 2 || x === "accuracy") return points;
  const usual = [...spans].sort((a, b) => a - b)[Math.floor((spans.length - 1) / 2)];
  const whole = at.at(-1) - at[0];
  spans.forEach((span, i) => { points[i + 1].hole = span > HOLE.share * whole && span > HOLE.times * usual; });
  return points;
}

function pointWords(one, i, label) {
  const many = one.clusters[i] > 0 && one.clusters[i] !== one.n[i] ? ` in ${count(one.clusters[i])} clusters` : "";
  return [
    `<b>${broken(one.run.name)}</b>`,
    ...(label ? [broken(label)] : []),
    withInterval(one.v[i], one.lo[i], one.hi[i]),
    ...(one.v[i] !== null && !one.ok[i] ? ["not interpretable"] : []),
    ...(one.note[i] ? [broken(one.note[i])] : []),
    [one.n[i] ? `n = ${count(one.n[i])}${many}` : "", escape(one.run.revisions[one.r[i]])].filter(Boolean).join(", "),
  ].join("<br>");
}

/** A text in lines of at most about 48 letters, escaped. */
function broken(text, letters = 48) {
  const rows = [""];
  for (const word of String(text).match(/\S{1,48}/g) ?? []) {
    if (rows.at(-1) && rows.at(-1).length + word.length + 1 > letters) rows.push(word);
    else rows[rows.length - 1] += (rows.at(-1) ? " " : "") + word;
  }
  return rows.map(escape).join("<br>");
}

/** The mean over the visible seeds of each group, with Student's interval over the seeds. As in plan.py, the mean of some of
 *  the seeds is not interpretable: the line would jump with the seeds that enter it. */
function meanLines(series, { x, label, given, off }) {
  const groups = new Map();
  for (const one of series) groups.set(one.run.group, [...(groups.get(one.run.group) ?? []), one]);
  return [...groups].map(([group, members]) => {
    const shown = members.filter((one) => !off.has(one.run.name));
    const at = new Map();
    for (const one of shown.length ? shown : members) {
      one.r.forEach((revision, i) => {
        const clock = DATA.meta.clock === "order" ? revision : one.run[DATA.meta.clock][revision];
        at.set(clock, [...(at.get(clock) ?? []), { one, i, x: place(one.run, revision, x) }]);
      });
    }
    const own = DATA.groups[group].title;
    const title = label && DATA.groups.length > 1 ? `${label}, ${own}` : label ?? own;
    return {
      name: title, label: label ?? own, split: label !== null, dash: given ? DASHES[group % DASHES.length] : DATA.groups[group].dash, runs: members.map((one) => one.run), group, colour: given ?? groupColour(group),
      thin: false, on: shown.length > 0,
      points: withHoles([...at].sort(([a], [b]) => a - b).map(([, held]) => meanPoint(held, title, (shown.length ? shown : members).length)), x),
    };
  });
}

function meanPoint(held, title, seeds) {
  const used = held.filter(({ one, i }) => one.ok[i]);
  const revision = held[0].one.run.revisions[held[0].one.r[held[0].i]];
  const base = { series: held[0].one, i: held[0].i, revision: held[0].one.r[held[0].i], note: "", n: used.length,
    x: mean(held.map((each) => each.x)), lo: null, hi: null };
  const values = used.map(({ one, i }) => one.v[i]);
  const y = mean(values) ?? mean(held.map(({ one, i }) => one.v[i]));
  if (used.length < seeds) {
    const cause = held.map(({ one, i }) => one.note[i]).find(Boolean);
    const note = `${used.length} of ${seeds} seeds are interpretable${cause ? `: ${cause}` : ""}`;
    const words = [`<b>${broken(title)}</b>`, ...(y === null ? [] : [`their mean: ${value(y)}`]), broken(note), escape(revision)];
    return { ...base, y, ok: false, note, text: words.join("<br>") };
  }
  if (used.length > 1) {
    const variance = values.reduce((sum, each) => sum + (each - y) ** 2, 0) / (used.length - 1);
    const half = (DATA.meta.student[used.length - 2] ?? 1.96) * Math.sqrt(variance / used.length);
    Object.assign(base, { lo: y - half, hi: y + half });
  }
  const how = seeds === 1 ? "one seed, no interval" : `mean of ${seeds} seeds, 95 % interval over the seeds`;
  return { ...base, y, ok: true,
    text: `<b>${broken(title)}</b><br>${withInterval(y, base.lo, base.hi)}<br>${how}<br>${escape(revision)}` };
}

function mean(numbers) {
  const known = numbers.filter((one) => one !== null);
  return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : null;
}

// ---------------------------------------------------------------- traces

const MOST_BANDS = 4;

/** Traces of lines: bands, lines with gaps, hollow marks, crosses at the foot; what the lines share is one trace. */
function lineTraces(lines, { intervals = "auto", width = 2, hide = false, dense = false } = {}) {
  const shown = lines.filter((line) => line.on);
  const how = intervals === "auto" ? (shown.length <= MOST_BANDS ? "bands" : "none") : intervals;
  const entries = new Set();
  const traces = how === "bands" ? shown.map(band) : [];
  for (const line of lines) {
    const points = line.points.filter((point) => point.x !== null && (point.ok || !gapless(point, hide)))
      .flatMap((point) => (point.hole ? [{ x: point.x, y: null, ok: false }, point] : [point]));
    const first = !entries.has(line.label);
    entries.add(line.label);
    traces.push({
      type: "scatter", mode: points.length > 60 || dense ? "lines" : "lines+markers", name: escape(line.label),
      legendgroup: line.label, showlegend: first && lines.length > 1, visible: line.on ? true : "legendonly",
      x: points.map((point) => point.x), y: points.map((point) => (point.ok ? point.y : null)),
      hovertext: points.map((point) => point.text), hoverinfo: "text", connectgaps: false,
      ends: points.map((point) => [point.lo, point.hi]),
      line: { color: line.colour, width: line.thin ? 1.2 : width, dash: line.dash },
      opacity: line.thin ? 0.85 : 1,
      marker: { color: line.colour, size: line.thin || dense ? 4 : 6, symbol: line.split ? "circle" : DATA.groups[line.group].symbol },
      meta: { runs: line.split ? null : lines.filter((one) => one.label === line.label).flatMap((one) => one.runs) },
      ...(how === "bars" ? { error_y: errorBars(points.map((p) => (p.ok ? p.y : null)), points.map((p) => p.lo), points.map((p) => p.hi), line.colour) } : {}),
    });
  }
  return [...traces, ...marks(shown, hide)];
}

/** Whether a point leaves no gap in its line: it is drawn nowhere. */
function gapless(point, hide) { return hide && !point.ok && point.y !== null; }

/** Bars from the low to the high ends beside values; where an end is unknown, none. */
function errorBars(values, low, high, color, thickness = 1) {
  const arm = (ends) => values.map((v, i) => (v === null || ends[i] === null ? null : Math.abs(ends[i] - v)));
  return { type: "data", symmetric: false, array: arm(high), arrayminus: arm(low), color, thickness, width: 0 };
}

/** The interval along neighbours that are interpretable, as one polygon each; a lonely point becomes a bar. */
function band(line) {
  const x = [];
  const y = [];
  let stretch = [];
  const close = () => {
    if (stretch.length) {
      const back = [...stretch].reverse();
      x.push(...stretch.map((p) => p.x), ...back.map((p) => p.x), null);
      y.push(...stretch.map((p) => p.hi), ...back.map((p) => p.lo), null);
    }
    stretch = [];
  };
  for (const point of line.points) {
    if (point.hole) close();
    if (point.ok && point.x !== null && point.lo !== null && point.hi !== null) stretch.push(point);
    else close();
  }
  close();
  return { type: "scatter", mode: "lines", x, y, fill: "toself", fillcolor: faded(line.colour, 0.14), hoverinfo: "skip",
    line: { color: faded(line.colour, 0.3), width: 0.8 }, showlegend: false, legendgroup: line.label };
}

function marks(shown, hide) {
  const { grey, paper } = look();
  const points = shown.flatMap((line) => line.points).filter((point) => point.x !== null);
  const hollow = hide ? [] : points.filter((point) => !point.ok && point.y !== null);
  const missing = points.filter((point) => point.y === null);
  const found = [];
  if (hollow.length) {
    found.push({ type: "scatter", mode: "markers", name: "not interpretable", x: hollow.map((p) => p.x),
      y: hollow.map((p) => p.y), hovertext: hollow.map((p) => p.text), hoverinfo: "text",
      marker: { color: paper, size: 7, line: { color: grey, width: 1.4 } } });
  }
  if (missing.length) {
    found.push({ type: "scatter", mode: "markers", name: "not defined", yaxis: "y2", x: missing.map((p) => p.x),
      y: missing.map(() => 0.035), hovertext: missing.map((p) => p.text), hoverinfo: "text",
      marker: { color: grey, size: 7, symbol: "x-thin", line: { color: grey, width: 1.4 } } });
  }
  return found;
}

const MOST_LABELLED = 6;

/** What moves with the slider over lines of training, and the names of what does not move. A line of one point has no
 *  ring. With `named`, a label says which line it is of; else the legend does. */
function lineMarks(lines, constants, { named = false, line: moves = true } = {}) {
  const at = lines.filter((line) => line.on && line.points.length > 1).map((line) => ({ line, point: nowPoint(line) }))
    .filter(({ point }) => point && point.x !== null && point.y !== null);
  const label = ({ line, point }) => `${named && at.length > 1 ? `${cut(line.label, 14)} ` : ""}${brief(point.y)}`;
  return {
    line: moves ? nowPlace() : null,
    rings: at.map(({ line, point }) => ({ x: point.x, y: point.y, colour: line.colour, small: at.length > MOST_LABELLED })),
    labels: [...constants.map(({ y, label: text, colour: given }) => ({ y, text, colour: given })),
      ...(at.length > MOST_LABELLED ? [] : at.filter(({ point }) => point.ok)
        .map((each) => ({ y: each.point.y, text: label(each), colour: each.line.colour, bold: true })))],
  };
}

/** The point of a line at the slider's stop: the last at or before it. */
function nowPoint(line, t = stop()) {
  const at = Math.max(...line.runs.map((run) => revisionAt(run, t)));
  return line.points.findLast((point) => point.revision <= at) ?? null;
}

/** The place of the slider's stop on an x axis of training; null where runs differ in it. */
function nowPlace(x = xAxis()) {
  if (x === "accuracy") return null;
  const at = DATA.meta.stops[stop()];
  const run = visibleRuns().concat(DATA.runs).find((one) => {
    const clock = DATA.meta.clock === "order" ? one.revisions.map((_, i) => i) : one[DATA.meta.clock];
    return clock.includes(at?.at) && place(one, clock.indexOf(at.at), x) !== null;
  });
  if (!run) return null;
  const clock = DATA.meta.clock === "order" ? run.revisions.map((_, i) => i) : run[DATA.meta.clock];
  return place(run, clock.indexOf(at.at), x);
}

// ---------------------------------------------------------------- references

/** What gives a scale to these series: their references, people of the literature, the neutral value. */
function referencesOf(series, benchmark, metric) {
  const { grey, human } = look();
  const term = benchmark.terms[metric];
  const found = [];
  if (term?.neutral != null) {
    found.push({ title: term.neutralTitle, values: [term.neutral], colour: grey, dash: "solid", series: [] });
  }
  if (benchmark.human[metric] !== undefined) {
    found.push({ title: "people", values: [benchmark.human[metric]], colour: human, dash: "solid", series: [] });
  }
  const byTitle = new Map();
  for (const one of new Set(series.flatMap((each) => each.references))) {
    if (one.drawn && one.v.some((v) => v !== null)) byTitle.set(one.title, [...(byTitle.get(one.title) ?? []), one]);
  }
  for (const [title, members] of byTitle) {
    const isHuman = members[0].role === "human";
    const known = members.flatMap((one) => one.v.filter((v, i) => v !== null && one.ok[i]));
    found.push({ title, values: [...new Set(known.map((v) => Number(v.toPrecision(6))))], series: members, isHuman,
      colour: isHuman ? human : grey, dash: isHuman ? "solid" : "dash" });
  }
  return found;
}

/** References that have one height become level lines; the others become traces over training. */
function referenceMarks(references, x = xAxis()) {
  const off = hiddenNames();
  const constants = [];
  const traces = [];
  for (const one of references) {
    const seen = one.series.filter((each) => !off.has(each.run.name));
    if (one.values.length === 1) constants.push({ ...one, y: one.values[0], label: `${one.title} ${number(one.values[0], 3)}` });
    else if (seen.length) {
      for (const each of seen) {
        const at = each.v.map((y, i) => ({ x: place(each.run, each.r[i], x), y, i })).filter((p) => p.x !== null && each.ok[p.i]);
        traces.push({ type: "scatter", mode: "lines", x: at.map((p) => p.x), y: at.map((p) => p.y), showlegend: false,
          line: { color: one.colour, width: 1.1, dash: "dot" }, hoverinfo: "text",
          hovertext: at.map((p) => `<b>${broken(one.title)}</b><br>${pointWords(each, p.i, null)}`) });
      }
      const last = seen[0].v.findLast((y) => y !== null);
      constants.push({ ...one, y: last, label: one.title, line: false });
    }
  }
  return { constants, traces };
}

/** The range of the y axis: the term's limits, else what is drawn with a margin. Logarithmic ones in powers of ten. A wide
 *  interval, as over two seeds, adds at most half the span of the values; numbers that say nothing add nothing. */
function rangeOf(term, lines, constants, traces = []) {
  if (term.limits && !term.log) {
    const margin = 0.03 * (term.limits[1] - term.limits[0]);
    return [term.limits[0] - margin, term.limits[1] + margin];
  }
  const scaled = (numbers) => numbers.filter((y) => y != null && Number.isFinite(y) && (!term.log || y > 0))
    .map((y) => (term.log ? Math.log10(y) : y));
  const points = lines.filter((line) => line.on).flatMap((line) => line.points);
  const usable = points.filter((point) => point.ok);
  const known = scaled([...(usable.length ? usable : points).map((point) => point.y), ...constants.map((one) => one.y), ...traces.flatMap((trace) => trace.y)]);
  if (!known.length) return term.log ? [-1, 1] : [0, 1];
  const [low, high] = [least(known), greatest(known)];
  const reach = (high - low || Math.abs(high) || 1) / 2;
  const ends = scaled(usable.flatMap((point) => [point.lo, point.hi])).map((end) => Math.min(Math.max(end, low - reach), high + reach));
  const [from, to] = [Math.min(low, ...ends), Math.max(high, ...ends)];
  const margin = (to - from || Math.abs(to) || 1) * 0.08;
  return [from - margin, to + margin];
}

function least(numbers) { return numbers.reduce((a, b) => Math.min(a, b)); }
function greatest(numbers) { return numbers.reduce((a, b) => Math.max(a, b)); }

/** Level lines across the axes; their names are labels of `lineMarks`. */
function referenceShapes(constants) {
  return constants.filter((one) => one.line !== false).map((one) => ({
    type: "line", xref: "paper", x0: 0, x1: 1, y0: one.y, y1: one.y, layer: "below",
    line: { color: one.colour, width: 1.2, dash: one.dash },
  }));
}

/** The name of a line where no legend is beside it. */
function lineName(line) {
  if (!line.split) return line.thin ? line.name : line.label;
  if (DATA.runs.length < 2) return line.label;
  return line.name.startsWith(line.label) ? line.name : `${line.label}, ${line.name}`;
}

/** What a screen reader says of a chart: the first and the last interpretable value of each line. */
function alternative(title, lines) {
  const shown = lines.filter((line) => line.on);
  const said = shown.slice(0, 8).map((line) => {
    const usable = line.points.filter((point) => point.ok);
    const ends = usable.length > 1 ? [usable[0], usable.at(-1)] : usable;
    const each = ends.map((p) => `${withInterval(p.y, p.lo, p.hi)} at ${p.series.run.revisions[p.revision]}`);
    return `${lineName(line)}: ${
      each.length > 1 ? `from ${each.join(" to ")}` : each[0] ?? "nothing interpretable"}.`;
  });
  const more = shown.length > 8 ? ` And ${shown.length - 8} more lines.` : "";
  return `${title}. ${said.join(" ")}${more}`;
}

/** The second y axis, on which crosses lie at the foot whatever the range of the first. */
const FOOT = { overlaying: "y", range: [0, 1], fixedrange: true, visible: false };
