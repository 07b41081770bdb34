// The ground of the page: its data, the state in the address, and small helpers. Python planned every chart
// and wrote the page's structure (payload.py, page.html.jinja); the program selects, scrubs and draws.

const packed = Uint8Array.from(atob(document.getElementById("data").textContent), (sign) => sign.charCodeAt(0));
const inflated = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
const DATA = await new Response(inflated).json();
const RUNS = new Map(DATA.runs.map((run) => [run.name, run]));
const GROUPS = new Map(DATA.groups.map((group) => [group.title, group]));

// ---------------------------------------------------------------- state

// What is chosen, kept in the address after "#", so that a view can be sent. Values are texts.
const state = (() => {
  const watchers = [];
  const changed = new Set();
  let [held, writing] = [new URLSearchParams(), 0];

  // Reads the address, and says what changed. A link has a place alone, and leaves the choices as they are.
  function read() {
    const text = location.hash.slice(1);
    const alone = text && !text.includes("=");
    if (alone) held.set("at", text);
    else held = new URLSearchParams(text);
    return alone ? "at" : "*";
  }

  function write() {
    const text = held.toString().replaceAll("%2F", "/");
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // A frame without an address of its own still works; its view cannot be sent.
    }
  }

  function notify(key) {
    if (!changed.size) {
      requestAnimationFrame(() => {
        const now = new Set(changed);
        changed.clear();
        for (const { wanted, task } of watchers) {
          if (now.has("*") || wanted.some((each) => now.has(each) || each === "*")) task();
        }
      });
    }
    changed.add(key);
  }

  read();
  addEventListener("hashchange", () => {
    notify(read());
    write();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => notify("*"));
  return {
    get: (key, fallback = null) => held.get(key) ?? fallback,
    // Sets a text; null or undefined forgets the key.
    set(key, given) {
      if (held.get(key) === (given == null ? null : String(given))) return;
      if (given == null) held.delete(key);
      else held.set(key, given);
      clearTimeout(writing);
      writing = setTimeout(write, 150); // browsers allow about 100 changes of the address in half a minute
      notify(key);
    },
    flush: write,
    // `task` runs now, and after a change of one of the keys, or of any ("*"), once a frame; also in a new theme.
    watch(wanted, task) {
      watchers.push({ wanted, task });
      task();
    },
  };
})();

const everyLive = [];

// Draws `element` when it comes into sight, and again after changes; what is out of sight waits. `move`, if
// given, is all that the slider needs: it shifts marks and never draws.
function live(element, keys, render, move = null) {
  let [due, seen] = [render, false];
  const go = (task) => {
    due = task;
    if (!seen || !due) return;
    due = null;
    task();
  };
  const watcher = new IntersectionObserver((entries) => {
    seen = entries.at(-1).isIntersecting;
    go(due);
  }, { rootMargin: "150px" });
  watcher.observe(element);
  state.watch(keys, () => go(render));
  if (move) state.watch(["t"], () => go(due ?? move));
  everyLive.push((again) => {
    seen = true;
    go(again ? render : due);
  });
}

// ---------------------------------------------------------------- choices

// The selects and rows of tabs by the key of their choice; the first option is the usual one unless one is marked.
const boxes = new Map([...document.querySelectorAll("[data-key]")].map((box) => [box.dataset.key, box]));

function usualOf(box) { return box.querySelector("[selected]") ?? box.querySelector("option, input"); }

// The option that the address says, if it is offered, and its value.
function optionOf(key) {
  const options = [...boxes.get(key).querySelectorAll("option, input")];
  return options.find(({ value: name }) => name === state.get(key)) ?? usualOf(boxes.get(key));
}
function chosen(key) { return boxes.has(key) ? optionOf(key).value : undefined; }

// Offers texts in a select, which is hidden if there is one alone.
function offer(key, names, usual) {
  const box = boxes.get(key);
  box.replaceChildren(...names.map((name) => new Option(name || "none", name, name === usual)));
  box.closest(".control").hidden = names.length < 2;
  box.value = chosen(key);
}

function mountChoices() {
  document.addEventListener("change", ({ target }) => {
    const box = target.closest("[data-key]");
    if (box) state.set(box.dataset.key, target.value === usualOf(box).value ? null : target.value);
  });
  for (const more of document.querySelectorAll(".more > input")) {
    const beside = [...more.closest(".controls").querySelectorAll("select")];
    more.checked = beside.some(({ dataset }) => state.get(dataset.key) !== null);
  }
  const parts = document.querySelectorAll("[data-of]"); // each in sight with one option of a choice
  state.watch(["*"], () => {
    for (const key of boxes.keys()) {
      const option = optionOf(key);
      option[option.type === "radio" ? "checked" : "selected"] = true;
    }
    for (const part of parts) part.hidden = part.dataset.option !== chosen(part.dataset.of);
  });
}

// ---------------------------------------------------------------- training

// The stop of the slider, an index into DATA.meta.stops; the last if none is chosen.
function stop() {
  const given = Number(state.get("t", "NaN"));
  return given in DATA.meta.stops ? given : DATA.meta.stops.length - 1;
}

function setStop(t) {
  const last = DATA.meta.stops.length - 1;
  const next = Math.min(Math.max(t, 0), last);
  state.set("t", next === last ? null : next);
}

// Left and right move the slider, from wherever the focus is.
function moveSlider(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  setStop(stop() + step);
}

// The revision of a run, or of the first run, at a stop of the slider.
function revisionOf(name, t) {
  const run = RUNS.get(name) ?? DATA.runs.find(({ stops }) => stops.includes(t));
  return run?.revisions[run.stops.indexOf(t)] ?? "";
}

// "each" seed as a line, or their "mean".
function seedsAs() { return chosen("seeds") ?? "each"; }

// Runs that are switched off, and the switch.
function hiddenNames() { return new Set(state.get("hidden", "").split("\n").filter(Boolean)); }
function showRuns(names, on) {
  const off = hiddenNames();
  names.forEach((name) => (on ? off.delete(name) : off.add(name)));
  state.set("hidden", [...off].filter((name) => RUNS.has(name)).join("\n") || null);
}

// ---------------------------------------------------------------- words and elements

// A number as it is read: three decimals, more for small ones. `size`: the greatest of the numbers beside it.
function value(given, size = Math.abs(given)) {
  if (given == null) return "not defined";
  if (size >= 100) return given.toFixed(1);
  return given.toFixed(size >= 0.01 || size === 0 ? 3 : Math.min(2 + Math.ceil(-Math.log10(size)), 12));
}

// Value and interval: "0.842 [0.811, 0.873]".
function withInterval(v, low, high) {
  if (v == null || low == null || high == null) return value(v);
  const size = Math.max(Math.abs(v), Math.abs(low), Math.abs(high));
  return `${value(v, size)} [${value(low, size)}, ${value(high, size)}]`;
}

// A point of a line: value, interval, n, clusters, and what is wrong with it (plotly.py, `_numbers`).
function pointWords({ of, y, low, high, usable, n, n_clusters: clusters, notes, said }, i) {
  if (said?.[i]) return said[i];
  const note = notes[i] ?? "";
  if (y[i] === null) return `not defined: ${note || "no cause was recorded"}`;
  const many = clusters[i] && clusters[i] !== n[i] ? ` in ${count(clusters[i])} clusters` : "";
  const seeds = n[i] > 1 ? `mean of ${n[i]} seeds, 95 % interval over the seeds` : "one seed";
  const counted = of === "mean" ? seeds : n[i] ? `n = ${count(n[i])}${many}` : "";
  const silent = usable[i] ? "" : "not interpretable";
  return [withInterval(y[i], low[i], high[i]), counted, silent, note].filter(Boolean).join(", ");
}

// A value beside a line: two decimals, more for small ones.
function brief(given) {
  if (Math.abs(given) < 0.095 && given !== 0) return String(Number(given.toPrecision(2)));
  return given.toFixed(Math.abs(given) < 100 ? 2 : 0);
}

function count(given) { return given.toLocaleString("en-GB"); }
function cut(text, letters) { return text.length > letters ? `${text.slice(0, letters - 1)}…` : text; }

// A text for Plotly, as `safe` of plotly.py writes it.
function escape(text) { return String(text).replace(/[&<>"'%@$]/g, (sign) => `&#${sign.charCodeAt(0)};`); }

// An element: attributes by name (`on…`: a listener), then children; texts are never read as HTML.
function h(tag, attributes, ...children) { return fill(document.createElement(tag), attributes, children); }
function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}
function fill(element, attributes = {}, children = []) {
  for (const [name, given] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), given);
    else if (given != null) element.setAttribute(name, given);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

// A table: the first cell of a row names it.
function tableOf(caption, rows, headings = []) {
  const row = ([first, ...cells]) =>
    h("tr", {}, h("th", { scope: "row" }, first), cells.map((cell) => h("td", {}, cell)));
  const head = h("tr", {}, headings.map((title) => h("th", { scope: "col" }, title)));
  return h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, rows.map(row)));
}
