// "Try it": an image of the reader's, dropped or drawn, and what every epoch of one run answers (see tryit.py). The model
// runs here, in tryit_model.js; nothing is sent anywhere. Other files may use:
//
//   mountTryIt(element, part)

const DRAWN_SIDE = 280;
const MOST_SIDE = 2048; // the browser reduces a larger photograph first
const MOST_PICKED = 12;

function mountTryIt(element, part) {
  const run = DATA.runs.find((one) => one.name === part.run);
  const towers = new Map();
  const texts = readHalves(part.texts);
  const view = { part, run, picked: part.classes.map((_, i) => i).slice(0, MOST_PICKED), answers: [], asked: 0,
    width: part.size.projection };
  const status = h("p", { class: "tryit-status", "aria-live": "polite" });
  const charts = ["probability", "margin"].map((name) => h("figure", {}, h("figcaption", {}, name === "margin" ? "margin in cosine" : name), h("div", { class: "tryit-chart" })));
  const seen = h("canvas", { width: DRAWN_SIDE, height: DRAWN_SIDE, role: "img" });
  const caption = h("figcaption");
  const board = drawingBoard(ask);
  const map = embeddingMap(part, run);

  const show = () => {
    const at = partIndex(part, run);
    ["probability", "margin"].forEach((name, i) => lineChart(charts[i].querySelector(".tryit-chart"), view, name, at));
    status.textContent = answerSentence(view, at);
    caption.textContent = `What the model sees at ${part.revisions[at]}: darker where it attends less (attention rollout).`;
    seen.setAttribute("aria-label", caption.textContent);
    if (view.levels && view.answers[at]) drawAttention(seen.getContext("2d"), part.size, view.levels, view.answers[at].attention);
    map.show(at, view.answers.map((one) => one.vector));
  };

  /** Ask every revision, one a task, so that the page stays alive; a later question ends an earlier one. */
  function ask(image) {
    const mine = (view.asked += 1);
    view.levels = prepared(image, part.size.image);
    view.answers = [];
    element.dataset.answered = 0;
    const next = (at) => {
      if (mine !== view.asked) return;
      if (!towers.has(at)) towers.set(at, readTower(part, at));
      view.answers.push(embed(towers.get(at), part, view.levels));
      if (at + 1 < part.revisions.length) setTimeout(next, 0, at + 1);
      else {
        score();
        element.dataset.answered = mine;
      }
    };
    next(0);
  }

  /** Other classes were picked; while a question is open, its end answers for them. */
  function picked() {
    if (view.answers.length === part.revisions.length) score();
    else view.scores = null;
  }

  /** Cosines with the texts of the same revision, and what follows from them for the picked classes. */
  function score() {
    const each = part.classes.length * view.width;
    view.scores = view.answers.map(({ vector }, at) => {
      const cosines = view.picked.map((name) => {
        const start = at * each + name * view.width;
        return vector.reduce((sum, value, i) => sum + value * texts[start + i], 0);
      });
      return chosenAmong(cosines, part.scales[at]);
    });
    show();
  }

  element.append(
    h("p", { class: "quiet" }, ...introductionOfTryIt(part)),
    h("div", { class: "tryit" },
      h("div", { class: "tryit-input" }, board.element, examplesOf(part, board), h("figure", {}, seen, caption)),
      h("div", { class: "tryit-output" }, picker(view, picked), status, h("div", { class: "tryit-charts" }, charts), map.element)),
    h("p", { class: "quiet" }, cautionsOfTryIt(part)));
  element.addEventListener("keydown", (event) => { if (event.target.matches("svg")) moveSlider(event); });
  state.watch(["t"], show);
  new ResizeObserver(show).observe(charts[0]);
  show();
  if (part.examples.length) board.showExample(part.examples[0]);
  else board.clear();
}

/** Probability, margin and rank (1 is the best) of each class, as evaluation/answers.py defines them. */
function chosenAmong(cosines, scale) {
  const largest = Math.max(...cosines);
  const weights = cosines.map((cosine) => Math.exp(scale * (cosine - largest)));
  const total = weights.reduce((a, b) => a + b, 0);
  const order = cosines.map((_, i) => i).sort((a, b) => cosines[b] - cosines[a] || a - b);
  const rank = cosines.map((_, i) => order.indexOf(i) + 1);
  return {
    probability: weights.map((weight) => weight / total),
    margin: cosines.map((cosine, i) => cosine - cosines[rank[i] === 1 ? order[1] : order[0]]),
    rank,
    cosines,
  };
}

/** The part's revision at the slider: the last one that the page has at or before it. */
function partIndex(part, run) {
  const at = run ? revisionAt(run) : part.revisions.length - 1;
  const places = part.revisions.map((name) => (run ? run.revisions.indexOf(name) : 0));
  return Math.max(0, places.findLastIndex((place) => place <= at));
}

// ---------------------------------------------------------------- words

function introductionOfTryIt(part) {
  const revisions = part.revisions.length;
  return [`Drop an image, choose a file or draw. The image encoder of ${revisions} revisions${
    part.leftOut ? ` (${part.leftOut} more are left out)` : ""} is in this page, and nothing leaves it. The page knows only the texts of ${
    part.classes.length} classes (“${part.classes[0].text}”), embedded by each revision's own text encoder; `, h("code", {}, "clipdyn app"), " takes any text and any model."];
}

function cautionsOfTryIt(part) {
  const [first, last] = [part.scales[0], part.scales.at(-1)].map((scale) => scale.toFixed(1));
  return `One image is an anecdote: it shows what the model decided here, not how often it decides so. The choice is forced: the picked classes share 100 %, and “none of these” is not among them. The logit scale goes from ${
    first} to ${last} in training, so a probability may change while the order stays: the margin (cosine of a class minus the best other one) has no scale. Weights are rounded to eight bits; on ${
    count(part.asked)} answers to stimuli the rounded model chose as the exact one in ${count(part.agreement)}.`;
}

function answerSentence({ part, picked, scores, answers }, at) {
  if (!scores || !answers[at] || !scores[at]) return "The model answers as soon as there is an image.";
  const { probability, margin, rank } = scores[at];
  const best = rank.map((_, i) => i).sort((a, b) => rank[a] - rank[b]).slice(0, 3)
    .map((i) => `${part.classes[picked[i]].name} ${Math.round(100 * probability[i])} % (margin ${margin[i] < 0 ? "−" : "+"}${Math.abs(margin[i]).toFixed(2)})`);
  return `${part.revisions[at]}: ${best.join(", then ")}.`;
}

// ---------------------------------------------------------------- classes

/** Checkboxes of the classes, and a field for the name of one of them. */
function picker(view, changed) {
  const { part } = view;
  const boxes = h("fieldset", { class: "tryit-classes" }, h("legend", {}, "Classes"));
  const said = h("span", { class: "quiet", role: "status" });
  const field = h("input", { type: "text", list: "tryit-names", "aria-label": "Add a class", placeholder: "add a class", maxlength: 80 });
  const pick = (name, on) => {
    const next = on ? [...view.picked, name].sort((a, b) => a - b) : view.picked.filter((one) => one !== name);
    if (next.length < 2 || next.length > 24) {
      said.textContent = next.length < 2 ? "An answer is a choice: at least two classes stay." : "At most 24 classes.";
      return show();
    }
    said.textContent = "";
    view.picked = next;
    show();
    return changed();
  };
  const show = () => {
    const listed = part.classes.length <= 24 ? part.classes.map((_, i) => i) : view.picked;
    boxes.querySelectorAll("label").forEach((label) => label.remove());
    boxes.append(...listed.map((name) => {
      const box = h("input", { type: "checkbox", onchange: () => pick(name, box.checked) });
      box.checked = view.picked.includes(name);
      return h("label", { class: "switch" }, box, h("span", {}, part.classes[name].name));
    }));
  };
  const add = () => {
    const wanted = field.value.trim().toLowerCase();
    const name = part.classes.findIndex((one) => one.name.toLowerCase() === wanted || one.text.toLowerCase() === wanted);
    if (name >= 0) pick(name, true);
    else if (wanted) said.textContent = `This page has no text vector of “${field.value.trim()}”: it knows the classes of the run's benchmark.`;
    field.value = "";
  };
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") add(); });
  show();
  return h("div", { class: "tryit-picker" }, boxes, field,
    h("datalist", { id: "tryit-names" }, part.classes.map(({ name }) => h("option", { value: name }))),
    h("button", { type: "button", class: "play", onclick: add }, "Add"), said);
}

function examplesOf(part, board) {
  if (!part.examples.length) return null;
  return h("div", { class: "tryit-examples", role: "group", "aria-label": "Stimuli to try" }, part.examples.map((example) =>
    h("button", { type: "button", title: example.title, "aria-label": example.title, onclick: () => board.showExample(example) },
      h("img", { src: example.uri, alt: "", width: 40, height: 40 }))));
}

// ---------------------------------------------------------------- the image

/** A canvas to drop an image on or to draw on. `given(ImageData)` gets each new image. */
function drawingBoard(given) {
  const canvas = h("canvas", { width: DRAWN_SIDE, height: DRAWN_SIDE, class: "tryit-board", role: "img", "aria-label": "Your image" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const file = h("input", { type: "file", accept: "image/*", hidden: true });
  const colour = h("input", { type: "color", value: "#d23434", "aria-label": "Colour" });
  const size = h("input", { type: "range", min: 4, max: 60, value: 22, "aria-label": "Width of the brush" });
  const said = h("span", { class: "quiet", role: "status" });
  const hand = () => given(context.getImageData(0, 0, DRAWN_SIDE, DRAWN_SIDE));
  const fill = (shade) => { context.fillStyle = shade; context.fillRect(0, 0, DRAWN_SIDE, DRAWN_SIDE); };

  /** Show the whole picture in the square, and hand on its own pixels. */
  const take = (picture, width, height) => {
    const scale = Math.min(1, MOST_SIDE / Math.max(width, height));
    const [wide, high] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    const whole = h("canvas", { width: wide, height: high }).getContext("2d", { willReadFrequently: true });
    whole.fillStyle = "#fff"; // behind transparent parts
    whole.fillRect(0, 0, wide, high);
    whole.imageSmoothingQuality = "high";
    whole.drawImage(picture, 0, 0, wide, high);
    fill(look().paper);
    const fit = DRAWN_SIDE / Math.max(wide, high);
    context.imageSmoothingEnabled = Math.max(wide, high) > 100;
    context.drawImage(whole.canvas, (DRAWN_SIDE - wide * fit) / 2, (DRAWN_SIDE - high * fit) / 2, wide * fit, high * fit);
    said.textContent = "";
    given(whole.getImageData(0, 0, wide, high));
  };
  const open = async (chosen) => {
    if (!chosen) return;
    try {
      const picture = await createImageBitmap(chosen);
      take(picture, picture.width, picture.height);
    } catch {
      said.textContent = "This file is not an image that the browser can read: give a PNG, JPEG or WebP.";
    }
  };
  const showExample = ({ uri }) => {
    const picture = new Image();
    picture.addEventListener("load", () => take(picture, picture.naturalWidth, picture.naturalHeight));
    picture.src = uri;
  };
  const clear = () => { fill("#303030"); hand(); };

  const place = (event) => {
    const { left, top, width } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top].map((at) => (at * DRAWN_SIDE) / width);
  };
  let from = null;
  const stroke = (event) => {
    const to = place(event);
    Object.assign(context, { strokeStyle: colour.value, lineWidth: Number(size.value), lineCap: "round" });
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
    from = to;
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); from = place(event); stroke(event); });
  canvas.addEventListener("pointermove", (event) => { if (from) stroke(event); });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { if (from) { from = null; hand(); } });
  canvas.addEventListener("dragover", (event) => event.preventDefault());
  canvas.addEventListener("drop", (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); });
  file.addEventListener("change", () => open(file.files[0]));
  const button = (title, onclick) => h("button", { type: "button", class: "play", onclick }, title);
  const element = h("div", {}, canvas, file, h("div", { class: "tryit-tools" },
    button("Choose a file", () => file.click()), button("Clear", clear), button("Fill", () => { fill(colour.value); hand(); }), colour, size), said);
  return { element, showExample, clear };
}

/** The model's input, darker where attention is low. */
function drawAttention(context, { image, patch }, levels, attention) {
  const grid = image / patch;
  const peak = Math.max(...attention) || 1;
  const input = new ImageData(image, image);
  for (let i = 0; i < image * image; i += 1) input.data.set([levels[3 * i], levels[3 * i + 1], levels[3 * i + 2], 255], 4 * i);
  const veil = new ImageData(grid, grid);
  attention.forEach((value, i) => veil.data.set([8, 8, 24, Math.round(215 * (1 - (value / peak) ** 0.7))], 4 * i));
  const onto = (content, smooth) => {
    const small = h("canvas", { width: content.width, height: content.height });
    small.getContext("2d").putImageData(content, 0, 0);
    context.imageSmoothingEnabled = smooth;
    context.drawImage(small, 0, 0, DRAWN_SIDE, DRAWN_SIDE);
  };
  onto(input, false);
  onto(veil, true);
}

// ---------------------------------------------------------------- the chart

const TRYIT_DASHES = ["", "6 3", "2 3", "8 3 2 3"];

/** Lines of the picked classes over the revisions, named at their ends; the slider's revision is marked. */
function lineChart(holder, { part, picked, scores }, name, now) {
  const width = Math.max(240, Math.min(560, holder.clientWidth || 400));
  const { ink, edge, grid } = look();
  const box = { left: 34, right: width - 74, top: 10, bottom: 190 };
  const values = scores ? scores.flatMap((one) => one[name]) : [];
  const [low, high] = name === "probability" ? [0, 1] : [Math.min(-0.1, ...values), Math.max(0.1, ...values)];
  const [start, end] = [part.places[0], part.places.at(-1)];
  const x = (at) => box.left + ((part.places[at] - start) / (end - start || 1)) * (box.right - box.left);
  const y = (value) => box.bottom - ((value - low) / (high - low)) * (box.bottom - box.top);
  const text = (words, attributes) => svg("text", { "font-size": 11, fill: "var(--quiet)", ...attributes }, words);
  const ticks = name === "probability" ? [0, 0.5, 1] : [low, 0, high];
  const drawing = svg("svg", { viewBox: `0 0 ${width} 222`, width, height: 222, role: "img", tabindex: 0,
    "aria-label": `${name} of ${picked.map((i) => part.classes[i].name).join(", ")} over training` },
  ...ticks.flatMap((tick) => [svg("line", { x1: box.left, x2: box.right, y1: y(tick), y2: y(tick), stroke: grid }),
    text(number(Number(tick.toFixed(2))), { x: box.left - 5, y: y(tick) + 4, "text-anchor": "end" })]),
  svg("line", { x1: x(now), x2: x(now), y1: box.top, y2: box.bottom, stroke: edge, "stroke-dasharray": "3 3" }),
  ...[start, end].map((place, i) => text(number(place), { x: x(i ? part.places.length - 1 : 0), y: box.bottom + 15, "text-anchor": "middle" })),
  text(part.axis, { x: (box.left + box.right) / 2, y: box.bottom + 15, "text-anchor": "middle" }));
  holder.replaceChildren(drawing);
  if (!scores) return;
  const ends = spreadOut(scores.at(-1)[name].map(y), 12, box.top, box.bottom);
  picked.forEach((of, i) => {
    const title = part.classes[of].name;
    const shade = hue(of);
    const points = scores.map((one, at) => `${x(at).toFixed(1)},${y(one[name][i]).toFixed(1)}`).join(" ");
    const dash = TRYIT_DASHES[Math.floor(of / DATA.meta.hues.length) % TRYIT_DASHES.length];
    drawing.append(svg("g", {}, svg("title", {}, title),
      svg("polyline", { points, fill: "none", stroke: shade, "stroke-width": 2, "stroke-dasharray": dash }),
      svg("circle", { cx: x(now), cy: y(scores[now][name][i]), r: 3.5, fill: shade }),
      text(title.length > 11 ? `${title.slice(0, 10)}…` : title, { x: box.right + 6, y: ends[i] + 4, fill: ink })));
  });
}

registerSection({ name: "tryit", title: "Try it", rank: 20, applies: () => Boolean(DATA.parts.tryit), mount: mountWhenSeen });

/** The model runs when the section comes near, and not before. */
function mountWhenSeen(section) {
  const holder = h("div", { class: "tryit-holder" });
  section.append(holder);
  live(holder, [], () => { if (!holder.childElementCount) mountTryIt(holder, DATA.parts.tryit); });
}
