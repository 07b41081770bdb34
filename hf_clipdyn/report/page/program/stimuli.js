// The browser of stimuli: pictures, what people said, and what each revision answered (see stimuli.py).
//
// A view is of one run and one way of asking: rows[stimulus][column], where a column is a revision in the
// order of training. null is a missing answer, TIE a tie.

const TIE = -1;
const PER_PAGE = 12;
const PER_PAGE_OF_MAPS = 8;
const STIMULI = DATA.parts.stimuli ?? {};

// Of several benchmarks, the holder of the one that is chosen is in sight.
function mountStimuli() {
  const holders = [...document.querySelectorAll("[data-stimuli-of]")];
  const show = () => {
    for (const holder of holders) holder.hidden = holder.dataset.stimuliOf !== chosen("stimuli");
  };
  state.watch(["stimuli"], show);
  show();
  document.querySelectorAll("[data-view=stimuli]").forEach(mountBrowser);
  const changed = document.getElementById("changed");
  if (changed) mountChanged(changed.querySelector("ul"), changed.dataset.benchmark);
}

function mountBrowser(element) {
  const part = STIMULI[element.dataset.name];
  const key = (choice) => `${element.dataset.name}.stimuli-${choice}`;
  const parts = ["[aria-live]", ".stimuli", ".pager"];
  const [found, list, pager] = parts.map((place) => element.querySelector(place));
  const pick = (choices, choice) => choices.find(({ name }) => name === chosen(key(choice)));
  const sheets = new Sheets(() => render());

  function render() {
    const run = RUNS.get(chosen(key("run")));
    const view = viewOf(part, run, Number(chosen(key("way"))), sheets);
    const filter = pick(part.filters, "filter");
    const group = chosen(key("group"));
    const places = [...part.items.id.keys()].filter((item) => !group || part.items.stratum[item] === group);
    const order = orderBy(pick(part.sorts, "sort").name, view);
    const kept = places.filter((item) => passes(filter, view, item)).sort(order);
    const size = view.maps ? PER_PAGE_OF_MAPS : PER_PAGE;
    const pages = Math.max(1, Math.ceil(kept.length / size));
    const page = Math.min(Math.max(Number.parseInt(state.get(key("page"), "1"), 10) || 1, 1), pages);
    const first = (page - 1) * size;
    const shown = kept.slice(first, first + size);
    const focused = list.contains(document.activeElement) && document.activeElement.closest("li[data-item]");
    list.classList.toggle("with-maps", Boolean(view.maps));
    list.replaceChildren(...shown.map((item) => stimulus(view, item)));
    const again = focused && list.querySelector(`[data-item="${focused.dataset.item}"] .strip`);
    if (again) again.focus({ preventScroll: true });
    const among = kept.length === part.shown ? "" : ` that pass the filter, of ${count(part.shown)}`;
    const range = `${first + 1} to ${first + shown.length} of ${count(kept.length)}${among}`;
    found.textContent = kept.length ? `${range}. Marked: ${view.revision}.`
      : `No stimulus passes this filter at ${view.revision}.`;
    const turn = (title, next) => {
      const onclick = () => state.set(key("page"), next === 1 ? null : next);
      const disabled = next < 1 || next > pages;
      return h("button", { type: "button", class: "play", disabled, onclick }, title);
    };
    const where = h("span", {}, `Page ${page} of ${pages}`);
    pager.hidden = pages < 2;
    pager.replaceChildren(turn("Previous", page - 1), where, turn("Next", page + 1));
  }

  const choices = ["filter", "run", "way", "group", "sort"].map(key);
  state.watch(choices, () => state.set(key("page"), null)); // another choice begins at the first page
  live(element, ["t", key("page"), ...choices], render);
}

// The stimuli of the first screen: those that follow the course of the answers most cleanly.
function mountChanged(list, name) {
  const part = STIMULI[name];
  const run = RUNS.get(part.follows.run);
  const sheets = new Sheets(() => render());
  const render = () => {
    const view = viewOf(part, run, 0, sheets);
    list.replaceChildren(...part.follows.items.map((item) => stimulus(view, item, { short: true })));
  };
  live(list, [], render, () => moveStrips(list, viewOf(part, run, 0, sheets).now));
}

// Beside a map of items by revisions: the item of one row, which the pointer or the arrow keys choose.
function mountItems(aside, panel, slot) {
  const part = STIMULI[panel.benchmark?.replace(/^[^-]*-/, "")];
  if (panel.form !== "map" || !panel.places.states.length || !part) return;
  const box = h("div", { "aria-live": "polite" });
  const sheets = new Sheets(() => show(slot.row));
  const show = (row) => {
    slot.row = Math.min(Math.max(row ?? 0, 0), panel.places.y.length - 1);
    placeMarks(slot);
    const name = panel.places.y[slot.row];
    const item = part.items.id.indexOf(Number(name.split(":")[0]));
    const run = RUNS.get(panel.choices.run) ?? RUNS.get(Object.keys(part.runs)[0]);
    const known = item < 0 ? h("p", {}, "This image is not among those in this page.")
      : h("ul", { class: "stimuli" }, stimulus(viewOf(part, run, 0, sheets), item));
    box.replaceChildren(h("p", {}, `Row ${slot.row + 1}, image ${name}. Up and down choose another.`), known);
  };
  aside.append(box);
  if (slot.row !== undefined) show(slot.row);
  else box.append(h("p", {}, "Point at a row, or choose one with the keys up and down."));
  slot.tabIndex = 0;
  slot.onkeydown = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(slot.row === undefined ? 0 : slot.row + step);
  };
  slot.removeAllListeners("plotly_hover");
  slot.on("plotly_hover", ({ points: [{ y }] }) => show(y));
}

// ---------------------------------------------------------------- answers

// What a run answered in one way: rows of answers, the names of their columns, and the slider's column.
function viewOf(part, run, way, sheets) {
  const { revisions, answers, maps } = part.runs[run.name];
  const places = revisions.map((name) => run.revisions.indexOf(name));
  const order = [...places.keys()].filter((i) => places[i] >= 0).sort((a, b) => places[a] - places[b]);
  const flat = answers[way] === null ? [] : readCodes(answers[way]);
  const rows = part.items.id.map((_, item) => order.map((i) => flat[item * places.length + i] ?? null));
  const now = Math.max(0, order.findLastIndex((i) => places[i] <= revisionAt(run)));
  const names = order.map((i) => revisions[i]);
  return { part, rows, order, now, sheets, maps: maps[way], names, revision: names[now] };
}

function readCodes(given) {
  if (Array.isArray(given)) return given;
  const bytes = Uint8Array.from(atob(given.data), (letter) => letter.charCodeAt(0));
  const missing = 256 ** given.bytes - 1;
  const codes = given.bytes === 1 ? bytes : new Uint16Array(bytes.buffer);
  return Array.from(codes, (code) => (code === missing ? null : code === missing - 1 ? TIE : code));
}

// What an answer is: "truth", "lure", "other", "tie", "none" or "value".
function verdict({ answer: sort, items }, item, answer) {
  if (answer === null) return "none";
  if (sort === "value") return "value";
  if (answer === TIE) return "tie";
  const right = (sort === "picture" ? items.people : items.truth)?.[item];
  if (right != null && answer === right) return "truth";
  return items.lure && answer === items.lure[item] ? "lure" : "other";
}

function answerWords(part, item, answer) {
  if (answer === null) return "no answer";
  if (part.answer === "value") return value(answer);
  if (answer === TIE) return "a tie";
  const called = part.called[verdict(part, item, answer)];
  return (part.answer === "picture" ? part.pictures : part.names)[answer] + (called ? ` (${called})` : "");
}

// One sign for an answer, so that it does not rest on its colour.
function sign(part, item, answer) {
  const kind = verdict(part, item, answer);
  if (part.answer === "picture" && answer >= 0 && answer !== null) return part.pictures[answer].slice(0, 1);
  if (part.items.lure && kind in part.titles) return part.titles[kind].slice(0, 1).toUpperCase();
  return { none: "–", tie: "=", truth: "✓", other: part.items.lure ? "·" : "✗", value: "" }[kind];
}

// ---------------------------------------------------------------- filters (stimuli_words.py has them)

function passes({ now, before, never, changed, agreed }, view, item) {
  const { part: { items }, rows } = view;
  const kinds = rows[item].map((answer) => verdict(view.part, item, answer));
  return (!now || now.includes(kinds[view.now]))
    && (!before || kinds.slice(0, view.now).includes(before))
    && (!never || !kinds.includes(never))
    && (changed === undefined || changed === (changes(view, item) > 0))
    && (!agreed || items.people[item] === items.truth[item]);
}

function changes({ rows }, item) {
  const given = rows[item].filter((answer) => answer !== null);
  return given.filter((answer, i) => i > 0 && answer !== given[i - 1]).length;
}

// An order of stimuli; those without a score come last.
function orderBy(name, view) {
  const { part: { items: { id, people, share } }, rows, now } = view;
  const scores = {
    mixed: (item) => -item,
    item: (item) => -id[item],
    changes: (item) => changes(view, item),
    share: (item) => share[item],
    high: (item) => rows[item][now],
    low: (item) => (rows[item][now] === null ? null : -rows[item][now]),
    span: (item) => Math.max(...rows[item]) - Math.min(...rows[item].filter((each) => each !== null)),
    people(item) {
      const known = people[item] !== null && rows[item][now] !== null;
      return known ? Math.abs(rows[item][now] - people[item]) : null;
    },
  };
  const score = (item) => scores[name](item) ?? -Infinity;
  return (a, b) => score(b) - score(a) || a - b;
}

// ---------------------------------------------------------------- one stimulus

function stimulus(view, item, { short = false } = {}) {
  const { part, maps } = view;
  const pictures = maps ? mapPictures(view, item)
    : part.pictures.map((title, at) => picture(view, item, at, title));
  const words = short ? [part.items.facts[item][0]] : facts(view, item);
  const lines = words.flatMap((line, i) => (i ? [h("br"), line] : [line]));
  const label = `Answers to stimulus ${part.items.id[item]} by revision`;
  const shown = [h("div", { class: "pictures" }, pictures), h("p", { class: "facts" }, lines)];
  return h("li", { "data-item": item }, shown, strip(view, item, label));
}

// What is shown, what people said, and what the slider's revision answers.
function facts({ part, rows, now, revision }, item) {
  const said = part.answer === "value" ? `${capital(part.titles.value)}, ${revision}` : revision;
  return [...part.items.facts[item], `${said}: ${answerWords(part, item, rows[item][now] ?? null)}`];
}

const AT_SLIDER = ", at the slider";

// The answers in the order of training; the slider's is marked. The arrow keys move the slider.
function strip(view, item, label) {
  const { part, rows, names, now, maps } = view;
  const all = rows.flat().filter((each) => each !== null);
  const [low, high] = part.answer === "value" ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const cells = rows[item].map((answer, column) => {
    const words = `${names[column]}: ${answerWords(part, item, answer)}`;
    const inside = maps ? mapTile(view, item, column)
      : h("span", { "aria-hidden": "true" }, sign(part, item, answer));
    const said = h("span", { class: "unseen" }, words + (column === now ? AT_SLIDER : ""));
    const kind = `answer ${verdict(part, item, answer)}${column === now ? " now" : ""}`;
    const height = `--height: ${Math.round((100 * (answer - low)) / (high - low || 1))}%`;
    const style = part.answer === "value" && !maps ? height : null;
    return h("li", { class: kind, title: words, style }, inside, said);
  });
  const shades = `--truth: ${hue(0)}; --lure: ${hue(1)}; --other: ${look().grey}`;
  const shape = { class: maps ? "strip maps" : "strip", style: shades };
  return h("ol", { ...shape, tabindex: 0, "aria-label": label, onkeydown: moveSlider }, cells);
}

// Moves the mark of the slider in drawn strips.
function moveStrips(holder, now) {
  for (const cell of holder.querySelectorAll(".strip > .answer")) {
    const marked = cell.parentElement.children[now] === cell;
    cell.classList.toggle("now", marked);
    cell.lastChild.textContent = cell.title + (marked ? AT_SLIDER : "");
  }
}

// ---------------------------------------------------------------- pictures and maps

// Sheets of pictures by their address, decoded once; `ready` is called when one has come.
class Sheets {
  constructor(ready) {
    this.ready = ready;
    this.held = new Map();
  }

  get(uri) {
    const known = this.held.get(uri);
    if (known) return known.complete && known.naturalWidth ? known : null;
    const image = new Image();
    this.held.set(uri, image);
    image.addEventListener("load", this.ready);
    image.src = uri;
    return null;
  }
}

// A canvas with a picture, or null if there is none. `over(context, width, height, onPicture)` draws on it.
function picture({ part, sheets }, item, at, title, over = null) {
  const box = part.sheet?.boxes[part.items.pictures[item][at]];
  if (!box && !over) return title ? h("span", { class: "nopicture" }, `${title}: no picture`) : null;
  const [x, y, width, height] = box ?? [0, 0, 96, 72];
  const scale = part.pixelated && box ? (part.pictures.length > 1 ? 2 : 3) : 1;
  const words = [`Stimulus ${part.items.id[item]}`, title, part.items.facts[item][0]];
  const label = words.filter(Boolean).join(", ");
  const style = `width: ${width * scale}px; height: ${height * scale}px`;
  const kind = part.pixelated ? "pixelated" : null;
  const canvas = h("canvas", { width, height, role: "img", "aria-label": label, class: kind, style });
  const context = canvas.getContext("2d");
  const sheet = box ? sheets.get(part.sheet.uri) : null;
  if (sheet) context.drawImage(sheet, x, y, width, height, 0, 0, width, height);
  if (over) over(context, width, height, Boolean(box));
  return title ? h("figure", {}, canvas, h("figcaption", {}, title)) : canvas;
}

// The image, people's map and the model's map at the slider, side by side.
function mapPictures(view, item) {
  const { part: { sheet, items: { peopleMap } }, maps, now, revision } = view;
  const onto = (given, column) => (...place) => drawMap(view, given, item, column, ...place);
  return [
    sheet ? picture(view, item, 0, "image") : null,
    peopleMap ? picture(view, item, 0, "where people looked", onto(peopleMap, 0)) : null,
    picture(view, item, 0, `map at ${revision}`, onto(maps, sheetColumn(view, now))),
  ];
}

// The column of the sheet of maps for a column of answers: the last one at or before it.
function sheetColumn({ order, maps }, column) {
  return Math.max(0, maps.columns.findLastIndex((place) => place <= order[column]));
}

// Lays a map over a picture: the higher, the less it darkens. Without a picture the map itself is drawn.
function drawMap({ sheets }, maps, item, column, context, width, height, onPicture) {
  const sheet = sheets.get(maps.uri);
  if (!sheet || maps.missing.includes(item)) return;
  const size = [maps.width, maps.height];
  const small = new OffscreenCanvas(...size).getContext("2d", { willReadFrequently: true });
  small.drawImage(sheet, maps.tile * column, maps.tile * item, ...size, 0, 0, ...size);
  const pixels = small.getImageData(0, 0, ...size);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const high = (pixels.data[i] / 255) ** 0.7;
    // On a picture a dark veil that lifts where the map is high; alone, from black to yellow.
    const alone = [255 * high, 220 * high, 80 * high, 255];
    pixels.data.set(onPicture ? [8, 8, 24, Math.round(215 * (1 - high))] : alone, i);
  }
  small.putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small.canvas, 0, 0, width, height);
}

function mapTile(view, item, column) {
  const canvas = h("canvas", { width: 48, height: 36, "aria-hidden": "true" });
  drawMap(view, view.maps, item, sheetColumn(view, column), canvas.getContext("2d"), 48, 36, false);
  return canvas;
}
