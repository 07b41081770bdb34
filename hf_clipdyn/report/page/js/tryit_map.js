// The map of embeddings: the stimuli of the run in one plane, at the slider's revision (see tryit.py). Other files may use:
//
//   embeddingMap(part, run)     {element, show(at, vectors)}; `vectors` of the reader's image, by revision, or none

const MAP_SIDE = 360;
const MAP_MARKS = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-3.5,-3.5h7v7h-7z", "M0,-4.6l4.4,8h-8.8z", "M-4.6,0l4.6,-4.6l4.6,4.6l-4.6,4.6z"];

function embeddingMap(part, run) {
  const { map } = part;
  const points = new Int8Array(readBytes(map.points).buffer);
  const stimuli = points.length / 2 / part.revisions.length;
  const onto = readHalves(map.onto);
  const cues = Object.keys(map.cues);
  const drawing = svg("svg", { viewBox: `0 0 ${MAP_SIDE} ${MAP_SIDE}`, class: "tryit-map", role: "img", tabindex: 0 });
  const legend = h("div", { class: "tryit-legend", role: "group", "aria-label": "Show one class" });
  const caption = h("p", { class: "quiet" });
  const bar = h("div", { class: "controls" });
  const cue = control(bar, { key: "tryit.cue", label: "Coloured by", options: cues.map((name) => [name, name]), fallback: cues[0] });
  let only = null;
  let last = [0, []];

  const place = (x, y) => `translate(${(MAP_SIDE / 2) * (1 + 0.94 * x)}px, ${(MAP_SIDE / 2) * (1 - 0.94 * y)}px)`;
  const marks = Array.from({ length: stimuli }, () => svg("path"));
  const own = svg("path", { d: "M0,-10l2.6,6.6l7,.4l-5.4,4.5l1.8,6.8l-6,-3.8l-6,3.8l1.8,-6.8l-5.4,-4.5l7,-.4z", "stroke-width": 1.5 });
  drawing.append(...marks, own);

  const paint = () => {
    const of = map.cues[cue.value()] ?? [];
    const { ink, paper } = look();
    marks.forEach((mark, i) => {
      mark.setAttribute("d", MAP_MARKS[Math.floor(of[i] / DATA.meta.hues.length) % MAP_MARKS.length]);
      mark.setAttribute("fill", hue(of[i]));
      mark.style.opacity = only === null || only === of[i] ? 0.8 : 0.08;
    });
    own.setAttribute("fill", ink);
    own.setAttribute("stroke", paper);
    legend.replaceChildren(...[...new Set(of)].sort((a, b) => a - b).map((name) =>
      h("button", { type: "button", "aria-pressed": String(only === name), onclick: () => { only = only === name ? null : name; paint(); } },
        markOf(name), part.classes[name].name)));
  };
  const markOf = (name) => svg("svg", { viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" },
    svg("path", { d: MAP_MARKS[Math.floor(name / DATA.meta.hues.length) % MAP_MARKS.length], fill: hue(name) }));

  function show(at, vectors) {
    last = [at, vectors];
    marks.forEach((mark, i) => {
      const start = 2 * (at * stimuli + i);
      mark.style.transform = place(points[start] / 127, points[start + 1] / 127);
    });
    const vector = vectors[at];
    own.style.display = vector ? "" : "none";
    if (vector) own.style.transform = place(...projected(vector, at));
    const words = `${stimuli} stimuli at ${part.revisions[at]}${vector ? "; the star is your image" : ""}. The plane shows ${
      Math.round(100 * map.shares[at])} % of the variance of their embeddings.`;
    caption.textContent = `${words} Each revision is turned onto the next one (orthogonal Procrustes), because training may turn the whole space without changing an answer.`;
    drawing.setAttribute("aria-label", words);
  }

  /** A unit vector in the plane, within [-1, 1] as the points are. */
  function projected(vector, at) {
    const each = 2 * vector.length + 2;
    const found = [0, 1].map((axis) => vector.reduce((sum, value, i) => sum + value * onto[at * each + 2 * i + axis], -onto[at * each + 2 * vector.length + axis]));
    return found.map((value) => Math.max(-1, Math.min(1, value / (127 * map.unit))));
  }

  state.watch(["tryit.cue"], paint);
  paint();
  return {
    element: h("figure", { class: "tryit-space" }, h("h3", {}, "Where the stimuli are in the embedding space"), bar, h("div", { class: "tryit-space-row" }, drawing, legend), caption),
    show: (at, vectors) => { paint(); show(at, vectors); },
  };
}
