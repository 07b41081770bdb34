// The ground of the page: its data, the state in the address, and small helpers. Python planned every chart (payload.py);
// nothing here does. Every other file may use:
//
//   DATA                      meta, runs, groups, benchmarks, overview, charts, tables, parts (see payload.py)
//   registerSection({name, title, rank, applies(), mount(element)})      a section of the page
//   state.get(key, fallback), state.set(key, value), state.watch(keys, fn)
//   live(element, keys, render, move)   render when it is in sight, and again when a key or the theme changes
//   stop(), setStop(t), revisionAt(run), xAxis(), seedsAs(), isOff(name), showRuns(names, on)
//   value(v), number(level), count(n), escape(text), h(tag, attributes, ...children), svg(tag, attributes, ...children)
//   control(container, {key, label, options, fallback}), choiceBar()

const DATA = unpacked(JSON.parse(document.getElementById("data").textContent));

/** Puts shared values where they are named: "$12" is a value, a list that begins with "#3" an object (see payload.py). */
function unpacked(data) {
  const known = [];
  const whole = (given) => {
    if (typeof given === "string" && given[0] === "$") return known[Number(given.slice(1))];
    if (!Array.isArray(given)) return given;
    if (typeof given[0] !== "string" || given[0][0] !== "#") return given.map(whole);
    const names = data.names[Number(given[0].slice(1))];
    return Object.fromEntries(names.map((name, i) => [name, whole(given[i + 1])]));
  };
  for (const one of data.values) known.push(typeof one === "string" ? one : whole(one));
  for (const benchmark of data.benchmarks) benchmark.panels = whole(benchmark.panels);
  for (const shown of data.overview) shown.panel = whole(shown.panel);
  for (const chart_ of data.charts) chart_.panels = whole(chart_.panels);
  return data;
}

const RUNS = new Map(DATA.runs.map((run) => [run.name, run]));
const GROUPS = new Map(DATA.groups.map((group) => [group.title, group]));
const sections = [];
function registerSection(section) { sections.push(section); }

// ---------------------------------------------------------------- state

/** What is chosen, kept in the address after "#", so that a view can be sent. Values are texts. */
const state = (() => {
  const LONGEST = 8000;
  const held = new Map();
  const watchers = [];
  let changed = null;
  let writing = 0;

  function read() {
    const text = location.hash.slice(1);
    // A place alone, as in a link from elsewhere, may stand without its key.
    const given = text && text.length <= LONGEST ? new URLSearchParams(text.includes("=") ? text : `at=${text}`) : [];
    const found = new Map(given);
    const keys = [...new Set([...held.keys(), ...found.keys()])].filter((key) => held.get(key) !== found.get(key));
    held.clear();
    found.forEach((text_, key) => held.set(key, text_));
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
    set(key, given) {
      const text = given == null ? undefined : String(given);
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

/** Draws `element` when it comes into sight, and again after changes; what is out of sight waits. `move`, if given, is
 *  all that the slider needs: it shifts marks and never draws. */
function live(element, keys, render, move = null) {
  let [stale, behind, seen] = [true, false, false];
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

function setStop(t) {
  const last = DATA.meta.stops.length - 1;
  const next = Math.min(Math.max(t, 0), last);
  state.set("t", next === last ? null : next);
}

/** Left and right move the slider, from wherever the focus is. */
function moveSlider(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  setStop(stop() + step);
}

/** The x axis that is chosen: a key of DATA.meta.axes. */
function xAxis() {
  const chosen = state.get("x", DATA.meta.axis);
  return Object.hasOwn(DATA.meta.axes, chosen) ? chosen : DATA.meta.axis;
}

/** "each" seed as a line, or their "mean". */
function seedsAs() { return hasSeeds && state.get("seeds") !== "each" ? "mean" : "each"; }
const hasSeeds = DATA.groups.some(({ runs }) => runs.length > 1);

/** The place among the kept revisions of a run (names) that the slider names: the last one at or before it. */
function keptAt(run, revisions) {
  const at = revisionAt(run);
  return Math.max(revisions.findLastIndex((name) => run.revisions.indexOf(name) <= at), 0);
}

/** The last revision of a run at or before the slider, as an index; the first if it has none so early. */
function revisionAt(run, t = stop()) { return Math.max(run.stops.findLastIndex((at) => at >= 0 && at <= t), 0); }

function hiddenNames() {
  return new Set(state.get("hidden", "").split(",").filter(Boolean).map((name) => {
    try { return decodeURIComponent(name); } catch { return name; }
  }));
}

/** Switches runs on or off, by name. */
function showRuns(names, on) {
  const off = hiddenNames();
  for (const name of names) if (on) off.delete(name); else off.add(name);
  const held = DATA.runs.map(({ name }) => name).filter((name) => off.has(name));
  state.set("hidden", held.length ? held.map(encodeURIComponent).join(",") : null);
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
  if (v == null || lo == null || hi == null) return value(v);
  const size = Math.max(Math.abs(v), Math.abs(lo), Math.abs(hi));
  return `${value(v, size)} [${value(lo, size)}, ${value(hi, size)}]`;
}

/** A level or a reference: no more digits than it needs. */
function number(each, digits = 4) { return each === Infinity ? "∞" : String(Number(each.toPrecision(digits))); }

/** A value beside a line: two decimals, more for small ones. */
function brief(given) {
  return Math.abs(given) >= 0.095 || given === 0 ? given.toFixed(Math.abs(given) < 100 ? 2 : 0) : number(given, 2);
}

function count(given) { return given.toLocaleString("en-GB"); }
function cut(text, letters) { return text.length > letters ? `${text.slice(0, letters - 1)}…` : text; }

/** A text for Plotly, as `safe` of plotly.py writes it; and back, without the breaks of its lines. */
function escape(text) { return String(text).replace(/[&<>"'%@$]/g, (sign) => `&#${sign.charCodeAt(0)};`); }
function plain(text) {
  return String(text ?? "").replace(/<br>/g, "; ").replace(/<\/?b>/g, "").replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
}

/** An element: attributes by name (`on…`: a listener, `class`, …), then children; texts are never read as HTML. */
function h(tag, attributes = {}, ...children) { return fill(document.createElement(tag), attributes, children); }
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}
function fill(element, attributes, children) {
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
  let [offered, usual] = [[], ""];
  const id = `control-${(controls += 1)}`;
  const box = h("select", { id, onchange: () => state.set(key, box.value === String(usual) ? null : box.value) });
  const element = h("div", { class: "control" }, h("label", { for: id }, label), box);
  const chosen = () => {
    const wanted = state.get(key);
    return offered.some(([name]) => String(name) === wanted) ? wanted : String(usual);
  };
  const show = () => { box.value = chosen(); };
  const update = (next, nextFallback) => {
    [offered, usual] = [next, nextFallback ?? next[0]?.[0]];
    box.replaceChildren(...next.map(([name, title]) => h("option", { value: name }, title)));
    element.hidden = next.length < 2;
    show();
  };
  update(options, fallback);
  element.hidden = false;
  state.watch([key], show);
  if (state.get(key) !== null) container.querySelector(":scope > .more[aria-expanded=false]")?.click();
  container.append(element);
  return { element, value: chosen, update };
}

/** A row of choices, of which two are in sight; a button shows the others. */
function choiceBar() {
  const bar = h("div", { class: "controls" });
  const open = ({ target }) => target.setAttribute("aria-expanded", String(bar.classList.toggle("open")));
  bar.append(h("button", { type: "button", class: "more", "aria-expanded": "false", onclick: open }, "More choices"));
  return bar;
}

/** A table of texts; of many rows a part, with a button for the others. */
const MOST_ROWS = 200;
function tableOf(caption, headings, rows) {
  const body = h("tbody", {});
  const more = h("button", { type: "button", class: "more", onclick: () => add() });
  const head = h("thead", {}, h("tr", {}, headings.map((title) => h("th", { scope: "col" }, title))));
  const table = h("table", {}, h("caption", {}, caption), head, body);
  let shown = 0;
  const add = () => {
    body.append(...rows.slice(shown, shown + MOST_ROWS).map(([first, ...others]) =>
      h("tr", {}, h("th", { scope: "row" }, first), others.map((cell) => h("td", {}, cell)))));
    shown = Math.min(shown + MOST_ROWS, rows.length);
    more.hidden = shown === rows.length;
    more.textContent = `Show more of ${count(rows.length)} rows`;
  };
  add();
  return h("div", {}, h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption }, table), more);
}
