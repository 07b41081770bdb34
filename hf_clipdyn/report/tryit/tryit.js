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
  const view = { part, picked: part.classes.map((_, i) => i).slice(0, MOST_PICKED), answers: [], scores: null, asked: 0 };
  const status = h("p", { class: "tryit-status", "aria-live": "polite" });
  const charts = new Map(["probability", "margin"].map((name) => [name, h("div", { class: "tryit-chart" })]));
  const figures = [...charts].map(([name, chart]) => h("figure", {}, h("figcaption", {}, name === "margin" ? "margin in cosine" : name), chart));
  const seen = h("canvas", { width: DRAWN_SIDE, height: DRAWN_SIDE, role: "img" });
  const caption = h("figcaption");
  const board = drawingBoard(ask);
  const map = embeddingMap(part);

  const show = () => {
    const at = partIndex(part, run);
    charts.forEach((chart, name) => lineChart(chart, view, name, at));
    status.textContent = answerSentence(view, at);
    caption.textContent = `What the model sees at ${part.revisions[at]}: darker where it attends less (attention rollout).`;
    seen.setAttribute("aria-label", caption.textContent);
    if (view.answers[at]) drawAttention(seen.getContext("2d"), part.size, view.levels, view.answers[at].attention);
    map.show(at, view.answers[at]?.vector);
  };

  // Ask every revision, one a task, so that the page stays alive; a later question ends an earlier one.
  async function ask(image) {
    const mine = (view.asked += 1);
    Object.assign(view, { levels: prepared(image, part.size.image), answers: [], scores: null });
    element.dataset.answered = 0;
    for (const at of part.revisions.keys()) {
      if (mine !== view.asked) return;
      if (!towers.has(at)) towers.set(at, readTower(part, at));
      view.answers.push(embed(towers.get(at), part, view.levels));
      await new Promise((resolve) => { setTimeout(resolve); });
    }
    if (mine !== view.asked) return;
    score();
    element.dataset.answered = mine;
  }

  // Cosines with the texts of the same revision, and what follows from them for the picked classes.
  function score() {
    if (view.answers.length < part.revisions.length) return; // the question that is open answers for them
    const width = part.size.projection;
    view.scores = view.answers.map(({ vector }, at) => chosenAmong(view.picked.map((name) => {
      const start = (at * part.classes.length + name) * width;
      return vector.reduce((sum, value, i) => sum + value * texts[start + i], 0);
    }), part.scales[at]));
    show();
  }

  element.append(
    h("p", { class: "quiet" }, ...introductionOfTryIt(part)),
    h("div", { class: "tryit" },
      h("div", { class: "tryit-input" }, board.element, examplesOf(part, board), h("figure", {}, seen, caption)),
      h("div", { class: "tryit-output" }, picker(view, score), status, h("div", { class: "tryit-charts" }, figures), map.element)),
    h("p", { class: "quiet" }, cautionsOfTryIt(part)));
  element.addEventListener("keydown", (event) => { if (event.target.matches("svg")) moveSlider(event); });
  state.watch(["t"], show);
  new ResizeObserver(show).observe(figures[0]);
  show();
  if (part.examples.length) board.showExample(part.examples[0]);
  else board.clear();
}

// Probability, margin and rank (1 is the best) of each class, as evaluation/answers.py defines them.
function chosenAmong(cosines, scale) {
  const order = [...cosines.keys()].sort((a, b) => cosines[b] - cosines[a] || a - b);
  const [first, second] = order;
  const weights = cosines.map((cosine) => Math.exp(scale * (cosine - cosines[first])));
  const total = weights.reduce((a, b) => a + b, 0);
  return {
    probability: weights.map((weight) => weight / total),
    margin: cosines.map((cosine, i) => cosine - cosines[i === first ? second : first]),
    order,
  };
}

// The part's revision at the slider: the last one that the page has at or before it.
function partIndex(part, run) {
  const now = revisionAt(run);
  return Math.max(0, part.revisions.findLastIndex((name) => run.revisions.indexOf(name) <= now));
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

function answerSentence({ part, picked, scores }, at) {
  if (!scores) return "The model answers as soon as there is an image.";
  const { probability, margin, order } = scores[at];
  const best = order.slice(0, 3).map((i) => {
    const signed = `${margin[i] < 0 ? "−" : "+"}${Math.abs(margin[i]).toFixed(2)}`;
    return `${part.classes[picked[i]].name} ${Math.round(100 * probability[i])} % (margin ${signed})`;
  });
  return `${part.revisions[at]}: ${best.join(", then ")}.`;
}

// ---------------------------------------------------------------- classes

// Checkboxes of the classes, and a field for the name of one of them.
function picker(view, changed) {
  const { part } = view;
  const boxes = h("fieldset", { class: "tryit-classes" }, h("legend", {}, "Classes"));
  const said = h("span", { class: "quiet", role: "status" });
  const field = h("input", { type: "text", list: "tryit-names", "aria-label": "Add a class", placeholder: "add a class", maxlength: 80,
    onkeydown: (event) => { if (event.key === "Enter") add(); } });
  const pick = (name, on) => {
    const next = on ? [...view.picked, name].sort((a, b) => a - b) : view.picked.filter((one) => one !== name);
    said.textContent = next.length < 2 ? "An answer is a choice: at least two classes stay." : next.length > 24 ? "At most 24 classes." : "";
    if (!said.textContent) view.picked = next;
    changed();
    show();
  };
  const show = () => {
    const listed = part.classes.length <= 24 ? part.classes.map((_, i) => i) : view.picked;
    boxes.querySelectorAll("label").forEach((label) => label.remove());
    boxes.append(...listed.map((name) => {
      const box = h("input", { type: "checkbox", onchange: () => pick(name, box.checked) });
      box.checked = view.picked.includes(name);
      const sample = svg("svg", { viewBox: "0 0 22 8", width: 22, height: 8, "aria-hidden": "true" }, lineOf(name, { points: "0,4 22,4" }));
      return h("label", { class: "switch" }, box, sample, h("span", {}, part.classes[name].name));
    }));
  };
  const add = () => {
    const wanted = field.value.trim().toLowerCase();
    const name = part.classes.findIndex((one) => one.name.toLowerCase() === wanted || one.text.toLowerCase() === wanted);
    if (name >= 0) pick(name, true);
    else if (wanted) said.textContent = `This page has no text vector of “${field.value.trim()}”: it knows the classes of the run's benchmark.`;
    field.value = "";
  };
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

// A canvas to drop an image on or to draw on. `given(ImageData)` gets each new image.
function drawingBoard(given) {
  let from = null;
  const canvas = h("canvas", { width: DRAWN_SIDE, height: DRAWN_SIDE, class: "tryit-board", role: "img", "aria-label": "Your image",
    onpointerdown: (event) => { canvas.setPointerCapture(event.pointerId); from = place(event); stroke(event); },
    onpointermove: (event) => { if (from) stroke(event); }, onpointerup: finished, onpointercancel: finished,
    ondragover: (event) => event.preventDefault(), ondrop: (event) => { event.preventDefault(); open(event.dataTransfer.files[0]); } });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const file = h("input", { type: "file", accept: "image/*", hidden: true, onchange: () => open(file.files[0]) });
  const colour = h("input", { type: "color", value: "#d23434", "aria-label": "Colour" });
  const size = h("input", { type: "range", min: 4, max: 60, value: 22, "aria-label": "Width of the brush" });
  const said = h("span", { class: "quiet", role: "status" });
  const hand = () => given(context.getImageData(0, 0, DRAWN_SIDE, DRAWN_SIDE));
  const fill = (shade) => { context.fillStyle = shade; context.fillRect(0, 0, DRAWN_SIDE, DRAWN_SIDE); };
  const filled = (shade) => () => { fill(shade()); hand(); };
  const clear = filled(() => "#303030");

  // Show the whole picture in the square, and hand on its own pixels.
  function take(picture) {
    const scale = Math.min(1, MOST_SIDE / Math.max(picture.width, picture.height));
    const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
    const whole = h("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    Object.assign(whole, { fillStyle: "#fff", imageSmoothingQuality: "high" }); // white is behind transparent parts
    whole.fillRect(0, 0, width, height);
    whole.drawImage(picture, 0, 0, width, height);
    fill(look().paper);
    const fit = DRAWN_SIDE / Math.max(width, height);
    context.imageSmoothingEnabled = Math.max(width, height) > 100;
    context.drawImage(whole.canvas, (DRAWN_SIDE - width * fit) / 2, (DRAWN_SIDE - height * fit) / 2, width * fit, height * fit);
    said.textContent = "";
    given(whole.getImageData(0, 0, width, height));
  }

  async function open(chosen) {
    if (!chosen) return;
    try {
      take(await createImageBitmap(chosen));
    } catch {
      said.textContent = "This file is not an image that the browser can read: give a PNG, JPEG or WebP.";
    }
  }

  async function showExample({ uri }) {
    const picture = h("img", { src: uri, alt: "" });
    await picture.decode();
    take(picture);
  }

  function place(event) {
    const { left, top, width } = canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top].map((at) => (at * DRAWN_SIDE) / width);
  }

  function stroke(event) {
    const to = place(event);
    Object.assign(context, { strokeStyle: colour.value, lineWidth: Number(size.value), lineCap: "round" });
    context.stroke(new Path2D(`M${from}L${to}`));
    from = to;
  }

  function finished() {
    if (from) hand();
    from = null;
  }

  const button = (title, onclick) => h("button", { type: "button", class: "play", onclick }, title);
  const tools = [button("Choose a file", () => file.click()), button("Clear", clear), button("Fill", filled(() => colour.value)), colour, size];
  return { element: h("div", {}, canvas, file, h("div", { class: "tryit-tools" }, tools), said), showExample, clear };
}

// The model's input, darker where attention is low.
function drawAttention(context, { image, patch }, levels, attention) {
  const grid = image / patch;
  const peak = Math.max(...attention) || 1;
  const paint = (side, colour) => {
    const pixels = new ImageData(side, side);
    for (let i = 0; i < side * side; i += 1) pixels.data.set(colour(i), 4 * i);
    const small = h("canvas", { width: side, height: side });
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = side === grid;
    context.drawImage(small, 0, 0, DRAWN_SIDE, DRAWN_SIDE);
  };
  paint(image, (i) => [...levels.subarray(3 * i, 3 * i + 3), 255]);
  paint(grid, (i) => [8, 8, 24, Math.round(215 * (1 - (attention[i] / peak) ** 0.7))]);
}

// ---------------------------------------------------------------- the chart

const HEIGHT = 222;
const HUES = 4; // of the palette; later classes have another stroke, or another mark
const STROKES = ["", "6 3", "2 3", "8 3 2 3"];

function lineOf(name, attributes) {
  const dash = STROKES[Math.floor(name / HUES) % STROKES.length];
  return svg("polyline", { fill: "none", stroke: hue(name % HUES), "stroke-width": 2, "stroke-dasharray": dash, ...attributes });
}

// Lines of the picked classes over the revisions; the picker is their legend. The slider's revision is marked.
function lineChart(holder, { part, picked, scores }, name, now) {
  const width = Math.max(240, Math.min(560, holder.clientWidth || 400));
  const { edge, grid } = look();
  const values = scores ? scores.flatMap((one) => one[name]) : [];
  const [low, high] = name === "probability" ? [0, 1] : [Math.min(-0.1, ...values), Math.max(0.1, ...values)];
  const [left, right, top, bottom] = [34, width - 10, 10, HEIGHT - 32];
  const [start, end] = [part.places[0], part.places.at(-1)];
  const x = (at) => left + ((part.places[at] - start) / (end - start || 1)) * (right - left);
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  const rule = (x1, x2, y1, y2, attributes) => svg("line", { x1, x2, y1, y2, ...attributes });
  const text = (words, at, height, anchor) => svg("text", { x: at, y: height, "text-anchor": anchor, "font-size": 11, fill: "var(--quiet)" }, words);
  const ticks = name === "probability" ? [0, 0.5, 1] : [low, 0, high];
  const names = picked.map((i) => part.classes[i].name).join(", ");
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", tabindex: 0, "aria-label": `${name} of ${names} over training` },
    ...ticks.flatMap((tick) => [rule(left, right, y(tick), y(tick), { stroke: grid }), text(Number(tick.toFixed(2)), left - 5, y(tick) + 4, "end")]),
    rule(x(now), x(now), top, bottom, { stroke: edge, "stroke-dasharray": "3 3" }),
    text(start, left, bottom + 15, "start"), text(part.axis, (left + right) / 2, bottom + 15, "middle"), text(end, right, bottom + 15, "end"));
  if (scores) picked.forEach((of, i) => {
    const points = scores.map((one, at) => `${x(at).toFixed(1)},${y(one[name][i]).toFixed(1)}`).join(" ");
    drawing.append(svg("g", {}, svg("title", {}, part.classes[of].name), lineOf(of, { points }),
      svg("circle", { cx: x(now), cy: y(scores[now][name][i]), r: 3.5, fill: hue(of % HUES) })));
  });
  holder.replaceChildren(drawing);
}

registerSection({ name: "tryit", title: "Try it", rank: 20, applies: () => Boolean(DATA.parts.tryit), mount: mountWhenSeen });

// The model runs when the section comes near, and not before.
function mountWhenSeen(section) {
  const holder = h("div", { class: "tryit-holder" });
  section.append(holder);
  live(holder, [], () => { if (!holder.childElementCount) mountTryIt(holder, DATA.parts.tryit); });
}
