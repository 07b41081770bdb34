// "Try it": an image of the reader's, dropped or drawn, and what every epoch of one run answers (see
// part.py). The model runs here, in model.js; nothing is sent anywhere.

const DRAWN_SIDE = 280;
const MOST_SIDE = 2048; // the browser reduces a larger photograph first
const MOST_CLASSES = 24;
const HUES = 4; // of the palette; later classes have another stroke, or another mark
const DASHES = ["solid", "dash", "dot", "dashdot"];

// The model runs when the section comes near, and not before.
const holder = document.querySelector(".tryit-holder");
const within = (place) => holder.querySelector(place);
live(holder, [], () => {
  if (!holder.dataset.answered) mountTryIt(holder, DATA.parts.tryit);
});

function mountTryIt(element, part) {
  const towers = new Map();
  const texts = readFloats(part.texts);
  const view = { part, picked: [], answers: [], scores: null, asked: 0 };
  const seen = within(".tryit-seen");
  const board = drawingBoard(ask);
  const showMap = embeddingMap(part);
  // The part's revision at the slider: the last one that the page has at or before it.
  const now = () => Math.max(0, part.stops.findLastIndex((at) => at <= stop()));

  const show = () => {
    const at = now();
    element.querySelectorAll(".slot").forEach((slot) => drawLines(slot, view, slot.dataset.name, at));
    within(".tryit-status").textContent = answerSentence(view, at);
    const words = `What the model sees at ${part.revisions[at]}: darker where it attends less`;
    seen.nextElementSibling.textContent = `${words} (attention rollout).`;
    seen.setAttribute("aria-label", words);
    const answer = view.answers[at];
    if (answer) drawAttention(seen.children, part.size, view.levels, answer.attention);
    showMap(at, answer?.vector);
  };

  // Ask every revision, one a task, so that the page stays alive; a later question ends an earlier one.
  async function ask(image) {
    view.asked += 1;
    const mine = view.asked;
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
      return dot(vector, 0, texts, start, width);
    }), part.scales[at]));
    show();
  }

  mountPicker(view, score);
  const examples = [...element.querySelectorAll(".tryit-examples img")];
  examples.forEach((image) => image.parentElement.addEventListener("click", () => board.take(image)));
  element.addEventListener("keydown", (event) => { if (event.target.matches("svg")) moveSlider(event); });
  state.watch(["t"], show);
  if (examples.length) examples[0].decode().then(() => board.take(examples[0]));
  else board.clear();
}

// Probability, margin and order of the classes, the best first, as evaluation/answers.py defines them.
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

// Checkboxes of the classes, of many those that were picked, and a field for the name of one of them.
function mountPicker(view, changed) {
  const { classes } = view.part;
  const form = within(".tryit-picker");
  const [field, said] = ["[type=text]", "[role=status]"].map((place) => form.querySelector(place));
  const boxes = [...holder.querySelectorAll(".tryit-classes input")];
  const known = () => [...boxes.keys()].filter((name) => boxes[name].checked);
  view.picked = known();
  const pick = (box) => {
    const picked = known();
    said.textContent = picked.length < 2 ? "An answer is a choice: at least two classes stay."
      : picked.length > MOST_CLASSES ? `At most ${MOST_CLASSES} classes.` : "";
    if (said.textContent) box.checked = !box.checked;
    else view.picked = picked;
    box.closest("label").hidden = boxes.length > MOST_CLASSES && !box.checked;
    changed();
  };
  const add = (event) => {
    event.preventDefault();
    const wanted = field.value.trim();
    const box = boxes[classes.findIndex(({ name, text }) => [name, text].some((known) => same(known, wanted)))];
    if (box) {
      box.checked = true;
      pick(box);
    } else if (wanted) {
      said.textContent = `This page has no text vector of “${wanted}”: it knows the classes of the run's benchmark.`;
    }
    field.value = "";
  };
  const same = (text, other) => text.toLowerCase() === other.toLowerCase();
  boxes.forEach((box) => box.addEventListener("change", () => pick(box)));
  form.addEventListener("submit", add);
}

// ---------------------------------------------------------------- the image

// A canvas to drop an image on or to draw on. `given(ImageData)` gets each new image.
function drawingBoard(given) {
  const places = [".tryit-board", "[type=file]", "[type=color]", ".tryit-tools [type=range]", ".tryit-said"];
  const [canvas, file, colour, size, said] = places.map(within);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const hand = () => given(context.getImageData(0, 0, DRAWN_SIDE, DRAWN_SIDE));
  const fillWith = (shade) => {
    context.fillStyle = shade;
    context.fillRect(0, 0, DRAWN_SIDE, DRAWN_SIDE);
  };

  // Show the whole picture in the square, and hand on its own pixels.
  function take(picture) {
    const sides = [picture.naturalWidth ?? picture.width, picture.naturalHeight ?? picture.height];
    const scale = Math.min(1, MOST_SIDE / Math.max(...sides));
    const [width, height] = sides.map((side) => Math.max(1, Math.round(side * scale)));
    const whole = h("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
    // White is behind transparent parts.
    Object.assign(whole, { fillStyle: "#fff", imageSmoothingQuality: "high" });
    whole.fillRect(0, 0, width, height);
    whole.drawImage(picture, 0, 0, width, height);
    fillWith(look().paper);
    const fit = DRAWN_SIDE / Math.max(width, height);
    const [wide, high] = [width * fit, height * fit];
    context.imageSmoothingEnabled = Math.max(width, height) > 100;
    context.drawImage(whole.canvas, (DRAWN_SIDE - wide) / 2, (DRAWN_SIDE - high) / 2, wide, high);
    said.textContent = "";
    given(whole.getImageData(0, 0, width, height));
  }

  async function open(chosenFile) {
    if (!chosenFile) return;
    try {
      take(await createImageBitmap(chosenFile));
    } catch {
      said.textContent = "This file is not an image that the browser can read: give a PNG, JPEG or WebP.";
    }
  }

  function drop(event) {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  }

  function place({ offsetX, offsetY }) {
    return [offsetX, offsetY].map((at) => (at * DRAWN_SIDE) / canvas.clientWidth);
  }

  function begin(event) {
    canvas.setPointerCapture(event.pointerId);
    const brush = { strokeStyle: colour.value, lineWidth: Number(size.value), lineCap: "round", lineJoin: "round" };
    Object.assign(context, brush).beginPath();
    context.moveTo(...place(event));
    stroke(event);
  }

  function stroke(event) {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    context.lineTo(...place(event));
    context.stroke();
  }

  const paint = (shade) => {
    fillWith(shade);
    hand();
  };
  const clear = () => paint("#303030");
  const onclick = { file: () => file.click(), clear, fill: () => paint(colour.value) };
  for (const [name, task] of Object.entries(onclick)) within(`[data-do=${name}]`).addEventListener("click", task);
  file.addEventListener("change", () => open(file.files[0]));
  const drawn = { onpointerdown: begin, onpointermove: stroke, onlostpointercapture: hand };
  fill(canvas, { ...drawn, ondragover: drop, ondrop: drop });
  return { take, clear };
}

// The model's input, and a veil over it that is darker where attention is low.
function drawAttention([input, veil], { image, patch }, levels, attention) {
  const peak = Math.max(...attention) || 1;
  const paint = (canvas, side, colour) => {
    const pixels = new ImageData(side, side);
    for (let i = 0; i < side * side; i += 1) pixels.data.set(colour(i), 4 * i);
    fill(canvas, { width: side, height: side }).getContext("2d").putImageData(pixels, 0, 0);
  };
  paint(input, image, (i) => [...levels.subarray(3 * i, 3 * i + 3), 255]);
  paint(veil, image / patch, (i) => [8, 8, 24, Math.round(215 * (1 - (attention[i] / peak) ** 0.7))]);
}

// ---------------------------------------------------------------- the charts

// Lines of the picked classes over the revisions. The slider's revision is marked.
function drawLines(slot, { part, picked, scores }, name, now) {
  const traces = picked.map((of, i) => {
    const color = hue(of % HUES);
    const title = escape(part.classes[of].name);
    const dash = DASHES[Math.floor(of / HUES) % DASHES.length];
    const y = (scores ?? []).map((each) => each[name][i]);
    const text = part.revisions.map((revision) => `<b>${title}</b><br>${escape(revision)}`);
    return { x: part.places, y, text, name: title, mode: "lines", line: { color, width: 2, dash }, meta: {} };
  });
  const rings = traces.filter(({ y }) => y.length)
    .map(({ x, y, line }) => ({ x: x[now], y: y[now], colour: line.color, small: true }));
  const range = name === "probability" ? [-0.03, 1.03] : undefined;
  const layout = { xaxis: { title: { text: escape(part.axis) } }, yaxis: { range, nticks: 5 }, showlegend: true };
  const alt = `${name} of ${picked.map((of) => part.classes[of].name).join(", ")} over training`;
  const marks = () => ({ verticals: [part.places[now]], frames: [], rings, labels: [] });
  draw(slot, { traces, layout, alt, height: 250, marks });
}
