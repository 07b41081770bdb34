// The browser of stimuli: pictures, what people said, and what each revision answered (see stimuli.py).
//
// Answers are read once for a run and a way of asking: rows[stimulus][column], where a column is a revision in the order
// of training. null is a missing answer, TIE a tie.

const TIE = -1;
const PER_PAGE = 12;
const PER_PAGE_OF_MAPS = 8;
const STIMULI = DATA.parts.stimuli ?? {};

registerSection({ name: "stimuli", title: "Stimuli", rank: 30, applies: () => withStimuli().length > 0, mount: mountStimuliSection });

function withStimuli() { return DATA.benchmarks.filter(({ name, panels }) => STIMULI[name] || panels.some(({ section }) => section === "stimuli")); }

/** One browser for all benchmarks, and beside it which class was named for which. */
function mountStimuliSection(section) {
  const offered = withStimuli();
  const bar = choiceBar();
  section.append(bar);
  const which = control(bar, { key: "stimuli", label: "Benchmark", options: offered.map(({ name, title }) => [name, title]) });
  const mounted = new Map();
  const show = () => {
    const benchmark = offered.find(({ name }) => name === which.value());
    if (!mounted.has(benchmark)) {
      const place = h("div", { class: "views", id: `${benchmark.anchor}-stimuli` });
      section.append(place);
      mounted.set(benchmark, place);
      if (STIMULI[benchmark.name]) mountStimuli(place, benchmark);
      const views = Map.groupBy(benchmark.panels.filter((panel) => panel.section === "stimuli"), ({ view }) => view);
      for (const [name, panels] of views) mountView(place, benchmark, name, panels);
    }
    mounted.forEach((place, other) => { place.hidden = other !== benchmark; });
  };
  state.watch(["stimuli"], show);
  show();
}

function mountStimuli(holder, { name }) {
  const part = STIMULI[name];
  const key = (choice) => `${name}.stimuli-${choice}`;
  const runs = DATA.runs.filter((run) => part.runs[run.name]);
  const bar = choiceBar();
  const found = h("p", { class: "quiet", "aria-live": "polite" });
  const list_ = h("ul", { class: "stimuli" });
  const pager = h("div", { class: "pager" });
  const element = h("div", { class: "view wide", "data-view": "stimuli" }, introduction(part), bar, found, list_, pager);
  holder.append(element);
  const menu = (choice, label, options) => {
    const box = control(bar, { key: key(choice), label, options });
    box.element.hidden = options.length < 2;
    return box;
  };
  const choices = {
    filter: menu("filter", "Show", filtersOf(part).map((one) => [one.name, one.title])),
    run: menu("run", "Run", runs.map((run) => [run.name, run.name])),
    way: menu("way", "Measured by", part.ways.map((title, i) => [i, title])),
    group: menu("group", capital(groupTitle(part)), groupsOf(part)),
    sort: menu("sort", "Order", sortsOf(part).map((one) => [one.name, one.title])),
  };
  const sheets = new Sheets(() => render());
  const answers = new Map();

  function render() {
    const run = runs.find((one) => one.name === choices.run.value()) ?? runs[0];
    const way = Number(choices.way.value());
    const held = `${run.name} ${way}`;
    if (!answers.has(held)) answers.set(held, readAnswers(part, run, way));
    const view = { part, run, way, sheets, ...answers.get(held) };
    view.now = columnAt(view);
    const kept = chosenItems(view, choices);
    const size = part.runs[run.name].maps[way] ? PER_PAGE_OF_MAPS : PER_PAGE;
    const pages = Math.max(1, Math.ceil(kept.length / size));
    const page = Math.min(Math.max(Number.parseInt(state.get(key("page"), "1"), 10) || 1, 1), pages);
    const shown = kept.slice((page - 1) * size, page * size);
    const focused = list_.contains(document.activeElement) ? document.activeElement.closest("li[data-item]")?.dataset.item : null;
    list_.classList.toggle("with-maps", size === PER_PAGE_OF_MAPS);
    list_.replaceChildren(...shown.map((item) => stimulus(view, item)));
    if (focused) list_.querySelector(`li[data-item="${Number(focused)}"] .strip`)?.focus({ preventScroll: true });
    found.textContent = foundWords(view, kept.length, (page - 1) * size, shown.length);
    fillPager(pager, page, pages, (next) => state.set(key("page"), next === 1 ? null : next));
  }

  // Another choice begins at the first page.
  for (const choice of Object.keys(choices)) state.watch([key(choice)], () => state.set(key("page"), null));
  live(element, ["t", "page", ...Object.keys(choices)].map((choice) => (choice === "t" ? choice : key(choice))), render);
}

/** How many stimuli there are, and what is to be known about their pictures. */
function introduction(part) {
  const of = groupTitle(part);
  const words = [part.shown === part.total ? `All ${count(part.total)} stimuli.`
    : `${count(part.shown)} of ${count(part.total)} stimuli are in this page: ${of ? `from each ${of} ` : ""}those whose answers change most, and others at even spacing.`];
  if (part.items.peopleMap) words.push("Bright means high in maps; each map is scaled to its own maximum.");
  if (part.why) words.push(part.why);
  else if (!part.pixelated && part.sheet) words.push("Pictures are small and compressed: fine distortions do not show.");
  if (part.note) words.push(part.note);
  if (part.sparse) words.push("Runs with many revisions show only some of them, spaced evenly over training.");
  if (part.strangers.length) words.push(`Not shown here, since they saw other stimuli: ${part.strangers.join(", ")}.`);
  return h("p", { class: "quiet" }, words.join(" "));
}

/** The stimuli of the first screen: those that follow the course of the answers most cleanly. */
function mountChanged(element) {
  const benchmark = DATA.benchmarks.filter(({ name }) => STIMULI[name]?.follows).sort((a, b) => !STIMULI[a.name].items.lure - !STIMULI[b.name].items.lure)[0];
  if (!benchmark) return;
  const part = STIMULI[benchmark.name];
  const { to, items, run: name } = part.follows;
  const run = RUNS.get(name);
  const answers = { part, run, way: 0, ...readAnswers(part, run, 0) };
  const list_ = h("ul", { class: "stimuli changed" });
  const ends = part.items.lure ? [part.titles.lure, part.titles.truth] : part.answer === "picture" ? ["unlike people", "as people"] : ["wrong", "right"];
  const [early, late] = to ? ends : [...ends].reverse();
  const where = DATA.runs.length > 1 ? `${benchmark.title}, ${name}` : benchmark.title;
  const which = to === null ? "Images whose answer changed most" : `Images that follow the course, ${early} before and ${late} after`;
  const words = `${which} (${where}), each with its answer at every revision. `;
  element.append(h("div", { id: "changed" }, h("p", { class: "quiet" }, words, h("a", { href: "#stimuli" }, "All stimuli")), list_));
  const sheets = new Sheets(() => render());
  const render = () => list_.replaceChildren(...items.map((item) => stimulus({ ...answers, sheets, now: columnAt(answers) }, item, { short: true })));
  live(list_, [], render, () => moveStrips(list_, columnAt(answers)));
}

// ---------------------------------------------------------------- answers

/** Rows of answers, and the indices of their revisions in run.revisions, in the order of training. */
function readAnswers(part, run, way) {
  const own = part.runs[run.name];
  const places = own.revisions.map((name) => run.revisions.indexOf(name));
  const order = places.map((_, i) => i).filter((i) => places[i] >= 0).sort((a, b) => places[a] - places[b]);
  const flat = own.answers[way] === null ? [] : readCodes(own.answers[way]);
  const rows = part.items.id.map((_, item) => order.map((i) => flat[item * places.length + i] ?? null));
  return { rows, order, columns: order.map((i) => places[i]) };
}

function readCodes(given) {
  if (Array.isArray(given)) return given;
  const bytes = Uint8Array.from(atob(given.data), (sign_) => sign_.charCodeAt(0));
  const missing = 256 ** given.bytes - 1;
  const codes = given.bytes === 1 ? Array.from(bytes) : Array.from({ length: bytes.length / 2 }, (_, i) => bytes[2 * i] + 256 * bytes[2 * i + 1]);
  return codes.map((code) => (code === missing ? null : code === missing - 1 ? TIE : code));
}

/** The column of the slider's revision; the last one before it if that has no answers. */
function columnAt({ run, columns }) {
  const at = revisionAt(run);
  return Math.max(0, columns.findLastIndex((place) => place <= at));
}

/** What an answer is: "truth", "lure", "other", "tie", "none" or "value". */
function verdict(part, item, answer) {
  if (answer === null) return "none";
  if (part.answer === "value") return "value";
  if (answer === TIE) return "tie";
  const right = part.answer === "picture" ? part.items.people?.[item] : part.items.truth?.[item];
  if (right !== null && right !== undefined && answer === right) return "truth";
  return part.items.lure && answer === part.items.lure[item] ? "lure" : "other";
}

function answerWords(part, item, answer) {
  if (answer === null) return "no answer";
  if (part.answer === "value") return value(answer);
  if (answer === TIE) return "a tie";
  const name = part.answer === "picture" ? part.pictures[answer] : part.names[answer];
  const kind = verdict(part, item, answer);
  if (part.answer === "picture") return part.items.people ? `${name} (${kind === "truth" ? "as people" : "unlike people"})` : name;
  if (part.items.lure) return `${name} (${{ truth: part.titles.truth, lure: part.titles.lure }[kind] ?? "neither"})`;
  return part.items.truth ? `${name} (${kind === "truth" ? "right" : "wrong"})` : name;
}

/** One sign for an answer, so that it does not rest on its colour. */
function sign(part, item, answer) {
  const kind = verdict(part, item, answer);
  if (kind === "none") return "–";
  if (kind === "tie") return "=";
  if (part.answer === "picture") return part.pictures[answer]?.slice(0, 1) ?? "?";
  if (part.items.lure) return (part.titles[kind] ?? "·").slice(0, 1).toUpperCase();
  return { truth: "✓", other: "✗", value: "" }[kind];
}

// ---------------------------------------------------------------- filters

/** Filters that make sense for a benchmark: {name, title, keeps(view, item)}. */
function filtersOf({ titles: { truth, lure }, items, answer }) {
  const at = ({ part, rows }, item, column) => verdict(part, item, rows[item][column]);
  const before = (view, item, kind) => view.rows[item].some((_, column) => column < view.now && at(view, item, column) === kind);
  const found = [{ name: "all", title: "all stimuli", keeps: () => true }];
  const offer = (name, title, keeps) => found.push({ name, title, keeps: (view, item) => keeps(view, item, at(view, item, view.now)) });
  if (items.lure) {
    offer("to-truth", `changed from ${lure} to ${truth}`, (view, item, now) => now === "truth" && before(view, item, "lure"));
    offer("to-lure", `changed from ${truth} to ${lure}`, (view, item, now) => now === "lure" && before(view, item, "truth"));
    offer("lure", `${lure} at the slider's revision`, (view, item, now) => now === "lure");
  }
  if (answer === "class" && items.truth) {
    const named = items.lure ? truth : "right";
    if (items.people) offer("people", "people right, model wrong", (_, item, now) => !["none", "truth"].includes(now) && items.people[item] === items.truth[item]);
    offer("right", `${named} at the slider's revision`, (_, item, now) => now === "truth");
    offer("wrong", `not ${named} at the slider's revision`, (_, item, now) => !["none", "truth"].includes(now));
    offer("never", `never ${named}`, (view, item) => view.rows[item].every((_, column) => at(view, item, column) !== "truth"));
  }
  if (answer === "picture" && items.people) {
    offer("people", "model and people choose differently", (_, item, now) => items.people[item] !== null && !["none", "truth"].includes(now));
    offer("right", "model and people choose alike", (_, item, now) => now === "truth");
  }
  if (answer !== "value") {
    offer("changed", "answer changed", (view, item) => changes(view, item) > 0);
    offer("constant", "answer never changed", (view, item) => changes(view, item) === 0);
  }
  return found;
}

function changes({ rows }, item) {
  const given = rows[item].filter((answer) => answer !== null);
  return given.filter((answer, i) => i > 0 && answer !== given[i - 1]).length;
}

/** What stimuli are filtered by: their group, or the right answer; "" for neither. */
function groupTitle({ items, titles, answer }) { return items.group ? titles.group : items.truth && answer === "class" ? titles.truth : ""; }
function groupOf({ items, names }, item) { return items.group ? items.group[item] : names[items.truth?.[item]]; }

function groupsOf(part) {
  if (!groupTitle(part)) return [["", "all"]];
  const known = [...new Set(part.items.id.map((_, item) => groupOf(part, item)))].filter((name) => name !== undefined);
  known.sort(part.items.group ? undefined : (a, b) => part.names.indexOf(a) - part.names.indexOf(b));
  return [["", "all"], ...known.map((name) => [name, name])];
}

function sortsOf(part) {
  const of = groupTitle(part);
  const { people, share, id } = part.items;
  const at = (view, item) => view.rows[item][view.now];
  const down = (score) => (view) => (a, b) => (score(view, b) ?? -Infinity) - (score(view, a) ?? -Infinity) || a - b;
  const offer = (name, title, score) => ({ name, title, compare: down(score) });
  const less = (given, from = 0) => (given === null ? null : from - given);
  return [
    { name: "mixed", title: of ? `each ${of} in turn` : "those that change first", compare: () => (a, b) => a - b },
    { name: "item", title: "as in the data set", compare: () => (a, b) => id[a] - id[b] },
    ...(part.answer !== "value" ? [offer("changes", "most changes first", changes),
      ...(share ? [offer("share", "people most agreed first", (_, item) => share[item])] : [])] : [
      offer("high", "largest value first", at),
      offer("low", "smallest value first", (view, item) => less(at(view, item))),
      offer("span", "largest change first", ({ rows }, item) => {
        const given = rows[item].filter((one) => one !== null);
        return given.length ? Math.max(...given) - Math.min(...given) : null;
      }),
      ...(people ? [offer("people", "farthest from people first", (view, item) =>
        (people[item] === null || at(view, item) === null ? null : Math.abs(less(at(view, item), people[item]))))] : [])]),
  ];
}

/** Positions of the stimuli that pass the filter and the class, in the chosen order. */
function chosenItems(view, { filter, group, sort }) {
  const { part } = view;
  const { keeps } = filtersOf(part).find(({ name }) => name === filter.value());
  const { compare } = sortsOf(part).find(({ name }) => name === sort.value());
  const wanted_ = group.value();
  return part.items.id.map((_, item) => item).filter((item) => (wanted_ === "" || groupOf(part, item) === wanted_) && keeps(view, item)).sort(compare(view));
}

function foundWords({ part, run, now, columns }, n, first, shown) {
  const revision = run.revisions[columns[now]] ?? "";
  if (!n) return `No stimulus passes this filter at ${revision}.`;
  return `${first + 1} to ${first + shown} of ${count(n)}${n === part.shown ? "" : ` that pass the filter, of ${count(part.shown)}`}. Marked: ${revision}.`;
}

function fillPager(pager, page, pages, go) {
  const turn = (title, next) => h("button", { type: "button", class: "play", disabled: next < 1 || next > pages, onclick: () => go(next) }, title);
  pager.hidden = pages < 2;
  pager.replaceChildren(...(pages < 2 ? [] : [turn("Previous", page - 1), h("span", {}, `Page ${page} of ${pages}`), turn("Next", page + 1)]));
}

// ---------------------------------------------------------------- one stimulus

function stimulus(view, item, { short = false } = {}) {
  const { part } = view;
  const maps = part.runs[view.run.name].maps[view.way];
  const pictures = maps ? mapPictures(view, item, maps) : part.pictures.map((title, at) => picture(view, item, at, title));
  const words = short ? [pictureWords(view, item, "").split(", ").slice(1).join(", ")] : facts(view, item).flatMap((line, i) => (i ? [h("br"), ...line] : line));
  return h("li", { "data-item": item }, h("div", { class: "pictures" }, pictures), h("p", { class: "facts" }, words),
    strip(view, item, `Answers to stimulus ${part.items.id[item]} by revision`, maps));
}

function capital(text) { return text.slice(0, 1).toUpperCase() + text.slice(1); }

/** What is shown, what people said, and what the slider's revision answers: lists of texts and elements. */
function facts({ part, rows, now, run, columns }, item) {
  const { titles, names, items: { truth, lure, people, share, group } } = part;
  const name = (place) => names[place] ?? "unknown";
  const lines = [];
  if (truth) lines.push([`${capital(titles.truth)} `, h("b", {}, name(truth[item])), ...(lure ? [`, ${titles.lure} `, h("b", {}, name(lure[item]))] : [])]);
  if (group) lines.push([`${capital(titles.group)}: ${group[item]}`]);
  if (people && people[item] !== null) {
    const said = { value: () => value(people[item]), picture: () => part.pictures[people[item]], class: () => name(people[item]) }[part.answer]();
    lines.push([`${capital(titles.people)}: `, h("b", {}, said), share && share[item] !== null ? ` (${Math.round(100 * share[item])} % of people)` : ""]);
  }
  const revision = run.revisions[columns[now]] ?? "";
  lines.push([part.answer === "value" ? `${capital(titles.value)}, ${revision}: ` : `${revision}: `, h("b", {}, answerWords(part, item, rows[item][now] ?? null))]);
  return lines;
}

const AT_SLIDER = ", at the slider";

/** The answers in the order of training; the slider's is marked. The arrow keys move the slider. */
function strip(view, item, label, maps) {
  const { part, rows, columns, run, now } = view;
  const all = part.answer === "value" ? rows.flat().filter((one) => one !== null) : [];
  const [low, high] = all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const cells = rows[item].map((answer, column) => {
    const words = `${run.revisions[columns[column]]}: ${answerWords(part, item, answer)}`;
    const cell = h("li", { class: `answer ${verdict(part, item, answer)}${column === now ? " now" : ""}`, title: words },
      maps ? mapTile(view, item, maps, column) : h("span", { "aria-hidden": "true" }, sign(part, item, answer)),
      h("span", { class: "unseen" }, `${words}${column === now ? AT_SLIDER : ""}`));
    if (part.answer === "value" && !maps && answer !== null) cell.style.setProperty("--height", `${Math.round((100 * (answer - low)) / (high - low || 1))}%`);
    return cell;
  });
  const element = h("ol", { class: `strip${maps ? " maps" : ""}`, tabindex: 0, "aria-label": label, onkeydown: moveSlider }, cells);
  for (const [name, shade] of [["truth", hue(0)], ["lure", hue(1)], ["other", look().grey]]) element.style.setProperty(`--${name}`, shade);
  return element;
}

/** Moves the mark of the slider in drawn strips. */
function moveStrips(holder, now) {
  for (const cell of holder.querySelectorAll(".strip > .answer")) {
    const isNow = [...cell.parentElement.children].indexOf(cell) === now;
    if (cell.classList.toggle("now", isNow) !== cell.lastChild.textContent.endsWith(AT_SLIDER)) cell.lastChild.textContent = cell.title + (isNow ? AT_SLIDER : "");
  }
}

// ---------------------------------------------------------------- pictures and maps

/** Sheets of pictures by their address, decoded once; `ready` is called when one has come. */
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

function pictureWords({ part }, item, title) {
  const { titles, names, items: { id, truth, lure } } = part;
  return [`Stimulus ${id[item]}`, title, truth && `${titles.truth} ${names[truth[item]]}`, lure && `${titles.lure} ${names[lure[item]]}`].filter(Boolean).join(", ");
}

/** A canvas with a picture, or null if there is none. `over(context, width, height)` draws on it. */
function picture(view, item, at, title, over = null) {
  const { part, sheets } = view;
  const box = part.sheet?.boxes[part.items.pictures[item][at]];
  if (!box && !over) return title ? h("span", { class: "nopicture" }, `${title}: no picture`) : null;
  const [x, y, width, height] = box ?? [0, 0, 96, 72];
  const scale = part.pixelated && box ? (part.pictures.length > 1 ? 2 : 3) : 1;
  const size = `width:${width * scale}px;height:${height * scale}px`;
  const canvas = h("canvas", { width, height, role: "img", "aria-label": pictureWords(view, item, title), class: part.pixelated ? "pixelated" : null, style: size });
  const context = canvas.getContext("2d");
  const sheet = box ? sheets.get(part.sheet.uri) : null;
  if (sheet) context.drawImage(sheet, x, y, width, height, 0, 0, width, height);
  if (over) over(context, width, height, Boolean(box));
  return title ? h("figure", {}, canvas, h("figcaption", {}, title)) : canvas;
}

/** The image, people's map and the model's map at the slider, side by side. */
function mapPictures(view, item, maps) {
  const { part, run, columns, now } = view;
  const onto = (given, column) => (context, width, height, onPicture) => drawMap(view, given, item, column, context, width, height, onPicture);
  const { peopleMap } = part.items;
  return [part.sheet ? picture(view, item, 0, "image") : null, peopleMap ? picture(view, item, 0, "where people looked", onto(peopleMap, 0)) : null,
    picture(view, item, 0, `map at ${run.revisions[columns[now]]}`, onto(maps, sheetColumn(view, maps, now)))];
}

/** The column of a sheet of maps for a column of answers: the last one at or before it. */
function sheetColumn({ order }, maps, column) { return Math.max(0, maps.columns.findLastIndex((place) => place <= order[column])); }

/** Lays a map over a picture: the higher, the less it darkens. Without a picture the map itself is drawn. */
function drawMap({ sheets }, maps, item, column, context, width, height, onPicture) {
  const sheet = sheets.get(maps.uri);
  if (!sheet || maps.missing.includes(item)) return;
  const small = h("canvas", { width: maps.width, height: maps.height }).getContext("2d", { willReadFrequently: true });
  small.drawImage(sheet, maps.tile * column, maps.tile * item, maps.width, maps.height, 0, 0, maps.width, maps.height);
  const pixels = small.getImageData(0, 0, maps.width, maps.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const high = (pixels.data[i] / 255) ** 0.7;
    // On a picture a dark veil that lifts where the map is high; alone, from black to yellow.
    pixels.data.set(onPicture ? [8, 8, 24, Math.round(215 * (1 - high))] : [255 * high, 220 * high, 80 * high, 255], i);
  }
  small.putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small.canvas, 0, 0, width, height);
}

function mapTile(view, item, maps, column) {
  const canvas = h("canvas", { width: 48, height: 36, "aria-hidden": "true" });
  drawMap(view, maps, item, sheetColumn(view, maps, column), canvas.getContext("2d"), 48, 36, false);
  return canvas;
}
