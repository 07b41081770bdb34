// The map of embeddings: the stimuli of the run in one plane, at the slider's revision (see tryit.py). Other files may use:
//
//   embeddingMap(part)     {element, show(at, vector)}; `vector` of the reader's image at that revision, or none

const MAP_SIDE = 360;
const MAP_STAR = "M0,-10l2.6,6.6l7,.4l-5.4,4.5l1.8,6.8l-6,-3.8l-6,3.8l1.8,-6.8l-5.4,-4.5l7,-.4z";
const MAP_MARKS = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-3.5,-3.5h7v7h-7z", "M0,-4.6l4.4,8h-8.8z", "M-4.6,0l4.6,-4.6l4.6,4.6l-4.6,4.6z"];

function embeddingMap(part) {
  const { map } = part;
  const points = new Int8Array(readBytes(map.points).buffer);
  const stimuli = points.length / 2 / part.revisions.length;
  const onto = readHalves(map.onto);
  const drawing = svg("svg", { viewBox: `0 0 ${MAP_SIDE} ${MAP_SIDE}`, class: "tryit-map", role: "img", tabindex: 0 });
  const legend = h("div", { class: "tryit-legend", role: "group", "aria-label": "Show one class" });
  const caption = h("p", { class: "quiet" });
  const bar = h("div", { class: "controls" });
  const cues = Object.keys(map.cues);
  const cue = control(bar, { key: "tryit.cue", label: "Coloured by", options: cues.map((name) => [name, name]), fallback: cues[0] });
  const marks = Array.from({ length: stimuli }, () => svg("path"));
  const star = svg("path", { d: MAP_STAR, "stroke-width": 1.5 });
  drawing.append(...marks, star);
  let only = null;

  const shape = (name) => ({ d: MAP_MARKS[Math.floor(name / HUES) % MAP_MARKS.length], fill: hue(name % HUES) });
  const put = (mark, x, y) => { mark.style.transform = `translate(${(MAP_SIDE / 2) * (1 + 0.94 * x)}px, ${(MAP_SIDE / 2) * (1 - 0.94 * y)}px)`; };

  function paint() {
    const of = map.cues[cue.value()] ?? [];
    marks.forEach((mark, i) => {
      for (const [name, given] of Object.entries(shape(of[i]))) mark.setAttribute(name, given);
      mark.style.opacity = only === null || only === of[i] ? 0.8 : 0.08;
    });
    star.setAttribute("fill", look().ink);
    star.setAttribute("stroke", look().paper);
    legend.replaceChildren(...[...new Set(of)].sort((a, b) => a - b).map((name) => {
      const sample = svg("svg", { viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" }, svg("path", shape(name)));
      const choose = () => { only = only === name ? null : name; paint(); };
      return h("button", { type: "button", "aria-pressed": String(only === name), onclick: choose }, sample, part.classes[name].name);
    }));
  }

  // A unit vector in the plane, within [-1, 1] as the points are.
  function projected(vector, at) {
    const start = at * (2 * vector.length + 2);
    return [0, 1].map((axis) => {
      const found = vector.reduce((sum, value, i) => sum + value * onto[start + 2 * i + axis], -onto[start + 2 * vector.length + axis]);
      return Math.max(-1, Math.min(1, found / (127 * map.unit)));
    });
  }

  function show(at, vector) {
    marks.forEach((mark, i) => put(mark, ...[0, 1].map((axis) => points[2 * (at * stimuli + i) + axis] / 127)));
    star.style.display = vector ? "" : "none";
    if (vector) put(star, ...projected(vector, at));
    const share = Math.round(100 * map.shares[at]);
    const words = `${stimuli} stimuli at ${part.revisions[at]}${vector ? "; the star is your image" : ""}. The plane shows ${share} % of the variance of their embeddings.`;
    caption.textContent = `${words} Each revision is turned onto the next one (orthogonal Procrustes), because training may turn the whole space without changing an answer.`;
    drawing.setAttribute("aria-label", words);
  }

  state.watch(["tryit.cue"], paint);
  paint();
  const row = h("div", { class: "tryit-space-row" }, drawing, legend);
  return { element: h("figure", { class: "tryit-space" }, h("h3", {}, "Where the stimuli are in the embedding space"), bar, row, caption), show };
}
