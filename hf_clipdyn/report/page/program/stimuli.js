// The browser of stimuli: pictures, what people said, and what each revision answered (see stimuli.py).
//
// A view is of one run and one way of asking: rows[stimulus][column] is an answer with its words, sign and kind,
// and its number where it is a value; a column is a revision in the order of training.

const PER_PAGE = 12;
const PER_PAGE_OF_MAPS = 8;
const FIRST_LETTER = 48; // of answers, see `Words.encoded`
const STIMULI = DATA.parts.stimuli;

function mountStimuli(element) {
  const part = STIMULI[element.dataset.name];
  const key = (choice) => `${element.dataset.name}.stimuli-${choice}`;
  const places = ["[aria-live]", ".stimuli", ".pager", ".pager > span"];
  const [found, list, pager, where] = places.map((place) => element.querySelector(place));
  const turns = [...pager.querySelectorAll("button")];
  let page = 1;

  function render() {
    const view = viewOf(part, chosen(key("run")), chosen(key("way")));
    const group = chosen(key("group"));
    const kept = [...part.items.id.keys()]
      .filter((item) => !group || part.items.stratum[item] === group)
      .filter((item) => passes(part.filters[chosen(key("filter"))], view, item))
      .sort(orderBy(chosen(key("sort")), view));
    const size = view.maps ? PER_PAGE_OF_MAPS : PER_PAGE;
    const pages = Math.max(1, Math.ceil(kept.length / size));
    page = Math.min(Math.max(Number.parseInt(state.get(key("page"), "1"), 10) || 1, 1), pages);
    const first = (page - 1) * size;
    const shown = kept.slice(first, first + size);
    const focused = list.contains(document.activeElement) && document.activeElement.closest("li[data-item]");
    list.classList.toggle("with-maps", Boolean(view.maps));
    list.replaceChildren(...shown.map((item) => stimulus(view, item)));
    if (focused) list.querySelector(`[data-item="${focused.dataset.item}"] .strip`)?.focus({ preventScroll: true });
    const among = kept.length === part.shown ? "" : ` that pass the filter, of ${count(part.shown)}`;
    const range = `${first + 1} to ${first + shown.length} of ${count(kept.length)}${among}`;
    found.textContent = kept.length ? `${range}. Marked: ${view.revision}.`
      : `No stimulus passes this filter at ${view.revision}.`;
    pager.hidden = pages < 2;
    where.textContent = `Page ${page} of ${pages}`;
    turns.forEach((button, i) => { button.disabled = page === [1, pages][i]; });
  }

  turns.forEach((button, i) => button.addEventListener("click", () => state.set(key("page"), page + [-1, 1][i])));
  element.addEventListener("change", () => state.set(key("page"), null)); // another choice begins at the first page
  live(element, ["t", ...["page", "filter", "run", "way", "group", "sort"].map(key)], render);
}

// The stimuli of the first screen: those that follow the course of the answers most cleanly.
function mountChanged({ dataset: { benchmark }, lastElementChild: list }) {
  const part = STIMULI[benchmark];
  const { run, items } = part.follows;
  const render = () => {
    const view = viewOf(part, run);
    list.replaceChildren(...items.map((item) => stimulus(view, item, { short: true })));
  };
  live(list, [], render, () => moveStrips(list, viewOf(part, run).now));
}

// Beside a map of items by revisions: the item of one row, which the pointer or the arrow keys choose.
function mountItems(aside, panel, slot) {
  const part = STIMULI[panel.benchmark?.replace(/^[^-]*-/, "")];
  if (panel.form !== "map" || !panel.places.states.length || !part) return;
  const box = h("div", { "aria-live": "polite" }, "Point at a row, or choose one with the keys up and down.");
  const show = (row) => {
    slot.row = Math.min(Math.max(row, 0), panel.places.y.length - 1);
    placeMarks(slot);
    const name = panel.places.y[slot.row];
    const item = part.items.id.indexOf(Number(name.split(":")[0]));
    const run = panel.choices.run in part.runs ? panel.choices.run : Object.keys(part.runs)[0];
    const known = item < 0 ? h("p", {}, "This image is not among those in this page.")
      : h("ul", { class: "stimuli" }, stimulus(viewOf(part, run), item));
    box.replaceChildren(h("p", {}, `Row ${slot.row + 1}, image ${name}. Up and down choose another.`), known);
  };
  aside.append(box);
  if (slot.row !== undefined) show(slot.row);
  slot.tabIndex = 0;
  slot.onkeydown = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show((slot.row ?? -1) + step);
  };
  slot.removeAllListeners("plotly_hover");
  slot.on("plotly_hover", ({ points: [{ y }] }) => show(y));
}

// ---------------------------------------------------------------- answers

// What a run answered in one way: rows of answers, the names of their columns, and the slider's column.
function viewOf(part, run, way = 0) {
  const { revisions: names, stops, answers, maps } = part.runs[run];
  const given = answers[way] ?? [];
  const answer = (i) => {
    if (typeof given === "string") return part.said[given.charCodeAt(i) - FIRST_LETTER];
    const number = given[i] ?? null;
    if (number === null) return { words: "no answer", sign: "–", kind: "none" };
    return { words: value(number), sign: "", kind: "value", number };
  };
  const rows = part.items.id.map((_, item) => names.map((name, at) => answer(item * names.length + at)));
  const now = Math.max(0, stops.findLastIndex((at) => at <= stop()));
  return { part, rows, now, maps: maps[way], names, revision: names[now] };
}

// Whether a stimulus passes one of `Words.filters`.
function passes({ now, before, never, changed, agreed }, view, item) {
  const kinds = view.rows[item].map(({ kind }) => kind);
  return (!now || now.includes(kinds[view.now]))
    && (!before || kinds.slice(0, view.now).includes(before))
    && (!never || !kinds.includes(never))
    && (changed === undefined || changed === (changes(view, item) > 0))
    && (!agreed || view.part.items.agreed[item]);
}

function changes({ rows }, item) {
  const given = rows[item].filter(({ kind }) => kind !== "none");
  return given.filter((answer, i) => i > 0 && answer !== given[i - 1]).length;
}

function numbersOf(row) { return row.flatMap(({ number }) => number ?? []); }

// An order of stimuli; those without a score come last.
function orderBy(name, view) {
  const { part: { items: { id, people, share } }, rows, now } = view;
  const number = (item) => rows[item][now].number;
  const score = {
    mixed: (item) => -item,
    item: (item) => -id[item],
    changes: (item) => changes(view, item),
    share: (item) => share[item],
    high: number,
    low: (item) => -number(item),
    span: (item) => Math.max(...numbersOf(rows[item])) - Math.min(...numbersOf(rows[item])),
    people: (item) => Math.abs(number(item) - (people[item] ?? NaN)),
  }[name];
  const rank = (item) => (Number.isFinite(score(item)) ? score(item) : -Infinity);
  return (a, b) => rank(b) - rank(a) || a - b;
}

// ---------------------------------------------------------------- one stimulus

// Pictures, or the image beside people's and the model's map; what is known, and the slider's answer; the strip.
function stimulus(view, item, { short = false } = {}) {
  const { part: { items, pictures, sheet, heading }, rows, now, maps, revision } = view;
  const shown = !maps ? pictures.map((title, at) => picture(view, item, at, title)) : [
    sheet && picture(view, item, 0, "image"),
    items.peopleMap && picture(view, item, 0, "where observers looked", items.peopleMap),
    picture(view, item, 0, `map at ${revision}`, maps, now),
  ];
  const said = `${heading}${revision}: ${rows[item][now].words}`;
  const facts = short ? items.facts[item].slice(0, 1) : [...items.facts[item], said];
  const parts = [h("div", { class: "pictures" }, shown), h("p", { class: "facts" }, facts.join("\n"))];
  return h("li", { "data-item": item }, parts, strip(view, item));
}

const AT_SLIDER = ", at the slider";

// The answers in the order of training; the slider's is marked. The arrow keys move the slider.
function strip({ part, rows, names, now, maps }, item) {
  const all = rows.flatMap(numbersOf);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const cells = rows[item].map(({ words, sign, kind, number }, column) => {
    const inside = maps ? h("span", { class: "tile" }, mapped(maps, item, column, "alone"))
      : h("span", { "aria-hidden": "true" }, sign);
    const title = `${names[column]}: ${words}`;
    const said = h("span", { class: "unseen" }, title + (column === now ? AT_SLIDER : ""));
    const height = `--height: ${Math.round((100 * (number - low)) / (high - low || 1))}%`;
    const style = kind === "value" && !maps ? height : null;
    return h("li", { class: `answer ${kind}${column === now ? " now" : ""}`, title, style }, inside, said);
  });
  const label = `Answers to stimulus ${part.items.id[item]} by revision`;
  const shape = { class: maps ? "strip maps" : "strip", tabindex: 0, "aria-label": label };
  return h("ol", { ...shape, onkeydown: moveSlider }, cells);
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

// A picture of a stimulus, or words if there is none; a map lies over it, and stands alone without it.
function picture({ part: { sheet, items } }, item, at, title, maps = null, column = 0) {
  const box = sheet?.boxes[items.pictures[item][at]];
  if (!box && !maps) return title ? h("span", { class: "nopicture" }, `${title}: no picture`) : null;
  const [, , width, height] = box ?? [0, 0, 96, 72];
  const scale = box ? sheet.scale : 1;
  const label = [`Stimulus ${items.id[item]}`, title, items.facts[item][0]].filter(Boolean).join(", ");
  const style = `width: ${width * scale}px; aspect-ratio: ${width} / ${height}`;
  const below = box && sprite(sheet, box, scale > 1 ? "pixelated" : "");
  const over = maps && mapped(maps, item, column, box ? "veil" : "alone");
  const shown = h("span", { class: "picture", role: "img", "aria-label": label, style }, below, over);
  return title ? h("figure", {}, shown, h("figcaption", {}, title)) : shown;
}

// The map of a stimulus in a column, or in the last one before it that has maps.
function mapped({ columns, boxes, step, ...sheet }, item, column, kind) {
  if (!boxes[item]) return null;
  const [x, ...box] = boxes[item];
  const at = Math.max(0, columns.findLastIndex((place) => place <= column));
  return sprite(sheet, [x + step * at, ...box], kind);
}

const sheetNames = new Map();

// A box [x, y, width, height] of a sheet as the background of an element; each sheet is one rule of the style.
function sprite({ uri, size: [wide, high] }, [x, y, width, height], kind) {
  if (!sheetNames.has(uri)) {
    sheetNames.set(uri, `sheet-${sheetNames.size}`);
    document.head.append(h("style", {}, `.${sheetNames.get(uri)} { background-image: url(${uri}); }`));
  }
  const percent = (part, whole) => `${(100 * part) / (whole || 1)}%`;
  const size = `background-size: ${percent(wide, width)} ${percent(high, height)}`;
  const place = `background-position: ${percent(x, wide - width)} ${percent(y, high - height)}`;
  return h("span", { class: `sprite ${kind} ${sheetNames.get(uri)}`, style: `${size}; ${place}` });
}
