// The map of embeddings: the stimuli of the run in one plane, at the slider's revision (see part.py).

const MAP_SIDE = 360;
const MAP_STAR = "M0,-10l2.6,6.6l7,.4l-5.4,4.5l1.8,6.8l-6,-3.8l-6,3.8l1.8,-6.8l-5.4,-4.5l7,-.4z";
const MAP_MARKS = ["M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z", "M-3.5,-3.5h7v7h-7z", "M0,-4.6l4.4,8h-8.8z",
  "M-4.6,0l4.6,-4.6l4.6,4.6l-4.6,4.6z"];

function embeddingMap(part) {
  const { map } = part;
  const points = new Int8Array(readBytes(map.points).buffer);
  const stimuli = points.length / 2 / part.revisions.length;
  const onto = readFloats(map.onto);
  const places = [".tryit-map", ".tryit-legend", ".tryit-space > .quiet > span"];
  const [drawing, legend, caption] = places.map((place) => document.querySelector(place));
  const marks = Array.from({ length: stimuli }, () => svg("path"));
  const star = svg("path", { d: MAP_STAR, "stroke-width": 1.5 });
  drawing.append(...marks, star);
  let only = null;

  const shape = (name) => ({ d: MAP_MARKS[Math.floor(name / HUES) % MAP_MARKS.length], fill: hue(name % HUES) });
  const put = (mark, [x, y]) => {
    const [right, down] = [1 + 0.94 * x, 1 - 0.94 * y].map((share) => (MAP_SIDE / 2) * share);
    mark.style.transform = `translate(${right}px, ${down}px)`;
  };

  function paint() {
    const of = map.cues[chosen("tryit.cue")] ?? [];
    marks.forEach((mark, i) => {
      fill(mark, shape(of[i]), []);
      mark.style.opacity = only === null || only === of[i] ? 0.8 : 0.08;
    });
    fill(star, { fill: look().ink, stroke: look().paper }, []);
    legend.replaceChildren(...[...new Set(of)].sort((a, b) => a - b).map((name) => {
      const sample = { viewBox: "-6 -6 12 12", width: 12, height: 12, "aria-hidden": "true" };
      const onclick = () => {
        only = only === name ? null : name;
        paint();
      };
      const pressed = { type: "button", "aria-pressed": String(only === name), onclick };
      return h("button", pressed, svg("svg", sample, svg("path", shape(name))), part.classes[name].name);
    }));
  }

  // A unit vector in the plane, within [-1, 1] as the points are.
  function projected(vector, at) {
    const start = at * (2 * vector.length + 2);
    return [0, 1].map((axis) => {
      const mean = onto[start + 2 * vector.length + axis];
      const found = vector.reduce((sum, each, i) => sum + each * onto[start + 2 * i + axis], -mean);
      return Math.max(-1, Math.min(1, found / (127 * map.unit)));
    });
  }

  function show(at, vector) {
    marks.forEach((mark, i) => put(mark, [0, 1].map((axis) => points[2 * (at * stimuli + i) + axis] / 127)));
    star.style.display = vector ? "" : "none";
    if (vector) put(star, projected(vector, at));
    const yours = vector ? "; the star is your image" : "";
    const share = `${Math.round(100 * map.shares[at])} % of the variance of their embeddings`;
    caption.textContent = `${stimuli} stimuli at ${part.revisions[at]}${yours}. The plane shows ${share}.`;
    drawing.setAttribute("aria-label", caption.textContent);
  }

  state.watch(["tryit.cue"], paint);
  return show;
}
