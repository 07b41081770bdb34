// The ground of the page: its data, the state in the address, and small helpers. Every other file may use:
//
//   DATA                      meta, groups, runs, benchmarks, series, parts (see payload.py)
//   registerView, registerSection, registerFold      what the page consists of
//   state.get(key, fallback), state.set(key, value), state.watch(keys, fn)
//   live(element, keys, render, move)   render when it is in sight, and again when a key or the theme changes
//   position(run, index, x), revisionAt(run, t), stop(), visibleRuns()
//   value(v), withInterval(v, lo, hi), number(level), brief(v), escape(text), h(tag, attributes, ...children)
//   choiceBar(), control(container, {key, label, options, fallback})
//
// A series: {id, run, benchmark, metric, variant, texts, probe, layer, subset, condition, level, parameter, role,
// reference, setup, title, drawn, words, references: [series], r, v, lo, hi, n, clusters, ok, note}. `run` is one of
// DATA.runs, `benchmark` the name of one of DATA.benchmarks; `words` says metric to setup in words; r[i] is the index of the
// revision in run.revisions; an undefined v[i] is null, and note[i] its cause; ok[i] is false if the number is not
// interpretable. A number is what the series of several runs share; it has them as `series`.

const DATA = JSON.parse(document.getElementById("data").textContent);
DATA.series = readSeries(DATA.series);

function readSeries(packed) {
  const { columns, strings, words } = packed;
  DATA.runs.forEach((run, index) => { run.index = index; });
  const numbers = columns.benchmark.map((benchmark, at) => {
    const number = { benchmark: DATA.benchmarks[benchmark].name, words: {}, series: [] };
    for (const name of packed.texts) number[name] = strings[columns[name][at]];
    for (const name of ["layer", "level", "parameter"]) number[name] = readNumber(columns[name][at]);
    for (const name of Object.keys(words)) number.words[name] = words[name].titles[words[name].places[at]];
    return { ...number, title: columns.title[at] < 0 ? "" : strings[columns.title[at]], drawn: Boolean(columns.drawn[at]) };
  });
  const series = packed.points.map((points, id) =>
    ({ ...numbers[packed.number[id]], id, run: DATA.runs[packed.run[id]], ...readPoints(points, strings) }));
  for (const each of series) {
    each.references = (packed.references[each.id] ?? []).map((id) => series[id]);
    each.series.push(each);
  }
  for (const panel of DATA.benchmarks.flatMap(({ panels }) => panels)) {
    for (const split of Object.keys(panel.lines)) panel.lines[split] = panel.lines[split].map((at) => numbers[at]);
    panel.thresholds = panel.thresholds?.flatMap((at) => numbers[at].series);
    [panel.of] = panel.lines.run;
  }
  return series;
}

function readNumber(value) {
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
}

function readPoints({ e, v, l, h, n, k, r, x, c }, strings) {
  // A division by a power of ten gives the nearest number to the decimal one; a product with 10^-e does not.
  const scale = 10 ** e;
  const at = (whole) => (whole === null ? null : whole / scale);
  const known = (i) => v[i] !== null && l?.[i] != null && h[i] !== null;
  const ok = v.map((whole) => whole !== null);
  for (const i of x ?? []) ok[i] = false;
  return {
    r: r ?? v.map((_, i) => i),
    v: v.map(at),
    lo: v.map((whole, i) => (known(i) ? (whole - l[i]) / scale : null)),
    hi: v.map((whole, i) => (known(i) ? (whole + l[i] + h[i]) / scale : null)),
    n: Array.isArray(n) ? n : v.map(() => n),
    clusters: Array.isArray(k) ? k : v.map(() => k),
    ok,
    note: v.map((_, i) => (c && i in c ? strings[c[i]] : "")),
  };
}

// ---------------------------------------------------------------- state

/** What is chosen, kept in the address after "#", so that a view can be sent. Values are texts. */
const state = (() => {
  const LONGEST = 8000;
  const held = new Map();
  const watchers = [];
  let changed = null;
  let writing = 0;

  function read() {
    const found = new Map();
    const text = location.hash.slice(1);
    if (text && text.length <= LONGEST) {
      // A place alone, as in a link from elsewhere. The browser would go there before the charts above it have their room.
      for (const [key, value] of new URLSearchParams(text.includes("=") ? text : `at=${text}`)) found.set(key, value);
    }
    const keys = [...new Set([...held.keys(), ...found.keys()])].filter((key) => held.get(key) !== found.get(key));
    held.clear();
    found.forEach((value, key) => held.set(key, value));
    return keys;
  }

  function write() {
    const text = new URLSearchParams([...held]).toString().replaceAll("%2F", "/");
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // A frame without an address of its own still works; its view cannot be sent.
    }
  }

  function notify(keys) {
    if (changed === null) {
      changed = new Set();
      requestAnimationFrame(() => {
        const now = changed;
        changed = null;
        for (const { wanted, fn } of watchers) if (now.has("*") || wanted.some((key) => now.has(key))) fn();
      });
    }
    keys.forEach((key) => changed.add(key));
  }

  read();
  addEventListener("hashchange", () => notify(read()));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => notify(["*"]));
  return {
    get: (key, fallback = null) => held.get(key) ?? fallback,
    /** Sets a text; null or undefined forgets the key. */
    set(key, value) {
      const text = value == null ? undefined : String(value);
      if (held.get(key) === text) return;
      if (text === undefined) held.delete(key);
      else held.set(key, text);
      clearTimeout(writing);
      writing = setTimeout(write, 150); // browsers allow about 100 changes of the address in half a minute
      notify([key]);
    },
    /** Writes the address now. */
    flush() { clearTimeout(writing); write(); },
    /** `fn` runs after a change of one of the keys, once a frame; also when the page turns dark or light. */
    watch(keys, fn) { watchers.push({ wanted: keys, fn }); },
  };
})();

const everyLive = [];

/** Draw `element` when it comes into sight, and again after changes; what is out of sight waits. `move`, if given, is
 *  all that the slider needs: it shifts marks and never draws. */
function live(element, keys, render, move = null) {
  let stale = true;
  let behind = false;
  let seen = false;
  const go = () => {
    if (!seen || !(stale || behind)) return;
    const task = stale ? render : move;
    stale = behind = false;
    task();
  };
  new IntersectionObserver((entries) => {
    seen = entries.at(-1).isIntersecting;
    go();
  }, { rootMargin: "150px" }).observe(element);
  state.watch(keys, () => { stale = true; go(); });
  if (move) state.watch(["t"], () => { behind = true; go(); });
  everyLive.push((again) => { seen = true; stale ||= again; go(); });
}

// ---------------------------------------------------------------- training

/** The stop of the slider, an index into DATA.meta.stops; the last if none is chosen. */
function stop() {
  const last = DATA.meta.stops.length - 1;
  const chosen = Number.parseInt(state.get("t", ""), 10);
  return chosen >= 0 && chosen <= last ? chosen : last;
}

/** The x axis that is chosen: one of the names in DATA.meta.axes. */
function xAxis() {
  const chosen = state.get("x", DATA.meta.axis);
  return DATA.meta.axes.some(([name]) => name === chosen) ? chosen : DATA.meta.axis;
}

/** "each" seed as a line, or their "mean". */
function seedsAs() { return hasSeeds && state.get("seeds") !== "each" ? "mean" : "each"; }
const hasSeeds = DATA.groups.some((_, group) => DATA.runs.filter((run) => run.group === group).length > 1);

/** The place of a revision (an index into run.revisions) on an x axis; null if it has none. */
function position(run, index, x = xAxis()) {
  const column = { epoch: "epoch", step: "step", samples: "samples_seen", logsamples: "samples_seen", logsteps: "step",
    accuracy: "accuracy" }[x];
  return column ? run[column][index] ?? null : index;
}

/** The last revision of a run at or before a stop of the slider, as an index; the first if it has none so early. */
function revisionAt(run, t = stop()) {
  const at = DATA.meta.stops[t]?.at ?? Infinity;
  const clock = DATA.meta.clock === "order" ? run.revisions.map((_, i) => i) : run[DATA.meta.clock];
  let found = 0;
  clock.forEach((place, i) => { if (place !== null && place <= at + 1e-9) found = i; });
  return found;
}

/** The place among the kept revisions of a run that the slider names: the last kept one at or before it. */
function keptAt(run, revisions) {
  const at = revisionAt(run);
  const places = revisions.map((name) => run.revisions.indexOf(name));
  return Math.max(places.findLastIndex((place) => place <= at), 0);
}

/** The runs that are not switched off. */
function visibleRuns() {
  const off = hiddenNames();
  return DATA.runs.filter((run) => !off.has(run.name));
}

function hiddenNames() {
  return new Set(state.get("hidden", "").split(",").filter(Boolean).map((name) => {
    try { return decodeURIComponent(name); } catch { return name; }
  }));
}

/** Switch runs on or off. */
function showRuns(runs, on) {
  const off = hiddenNames();
  for (const run of runs) if (on) off.delete(run.name); else off.add(run.name);
  const names = DATA.runs.map((run) => run.name).filter((name) => off.has(name));
  state.set("hidden", names.length ? names.map(encodeURIComponent).join(",") : null);
}

// ---------------------------------------------------------------- words and elements

/** A number as it is read: three decimals, more for small ones. `size`: the greatest of the numbers beside it. */
function value(given, size = Math.abs(given)) {
  if (given === null || given === undefined) return "not defined";
  if (size >= 100) return given.toFixed(1);
  return given.toFixed(size >= 0.01 || size === 0 ? 3 : Math.min(2 + Math.ceil(-Math.log10(size)), 12));
}

/** Value and interval: "0.842 [0.811, 0.873]". */
function withInterval(v, lo, hi) {
  if (v === null || lo === null || hi === null) return value(v);
  const size = Math.max(Math.abs(v), Math.abs(lo), Math.abs(hi));
  return `${value(v, size)} [${value(lo, size)}, ${value(hi, size)}]`;
}

/** A level or a reference: no more digits than it needs. */
function number(each, digits = 4) { return each === Infinity ? "∞" : String(Number(each.toPrecision(digits))); }

/** A value beside a line: two decimals, more for small ones. */
function brief(given) {
  return Math.abs(given) >= 0.095 || given === 0 ? given.toFixed(Math.abs(given) < 100 ? 2 : 0) : number(given, 2);
}

function count(number) { return number.toLocaleString("en-GB"); }

/** A text for HTML, and for the texts of Plotly, which read a few tags, and fill in what follows a per cent sign. */
function escape(text) {
  return String(text).replace(/[&<>"'%]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** An element: attributes by name (`on…`: a listener, `class`, …), then children; texts are never read as HTML. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, given] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), given);
    else if (given === true) element.setAttribute(name, "");
    else if (given !== false && given != null) element.setAttribute(name, given);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** A labelled choice, bound to the state. `options`: [[value, label], …]; the fallback is not written down.
 *  Returns {element, value(), update(options, fallback)}; `update` hides a choice between fewer than two. */
let controls = 0;
function control(container, { key, label, options, fallback }) {
  let offered = options;
  let usual = fallback ?? options[0]?.[0];
  const id = `control-${(controls += 1)}`;
  const box = h("select", { id, onchange: () => state.set(key, box.value === String(usual) ? null : box.value) });
  const element = h("div", { class: "control" }, h("label", { for: id }, label), box);
  const chosen = () => {
    const wanted = state.get(key);
    return offered.some(([name]) => String(name) === wanted) ? wanted : String(usual);
  };
  const show = () => { box.value = chosen(); };
  const update = (next, nextFallback) => {
    offered = next;
    usual = nextFallback ?? next[0]?.[0];
    box.replaceChildren(...next.map(([name, title]) => h("option", { value: name }, title)));
    element.hidden = next.length < 2;
    show();
  };
  update(options, fallback);
  state.watch([key], show);
  if (state.get(key) !== null) container.querySelector(":scope > .more[aria-expanded=false]")?.click();
  container.append(element);
  return { element, value: chosen, update };
}

/** A row of choices, of which two are in sight; a button shows the others. */
function choiceBar() {
  const bar = h("div", { class: "controls" });
  bar.append(h("button", { type: "button", class: "more", "aria-expanded": "false", onclick: (event) => event.target.setAttribute("aria-expanded", String(bar.classList.toggle("open"))) }, "More choices"));
  return bar;
}

// ---------------------------------------------------------------- registers

const views = [];
const sections = [];
const folds = [];
/** A chart of a benchmark: {name, title, rank, wide, section, applies(benchmark), mount(element, benchmark)}. */
function registerView(view) { views.push(view); }
/** A section of the page: {name, title, rank, applies(), mount(element)}. */
function registerSection(section) { sections.push(section); }
/** A folded part of the evidence, mounted when it is opened: {name, title, rank, applies(), mount(element)}. */
function registerFold(fold) { folds.push(fold); }
