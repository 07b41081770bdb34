// What the slider moves: a line, rings, a frame and the values at the lines' ends, as SVG of its own over a chart that
// Plotly draws once. Other files may use:
//
//   placeMarks(element)     draw the marks of a chart at their places of now: all that a step of the slider costs
//   labelRoom(labels, width)    the margin that labels beside the axes need, and may take of this width
//   spreadOut(wanted, gap, low, high)    places that keep their order and a distance
//
// `marks()` of a chart: {line: x or null, frame: [x0, x1] or null, rings: [{x, y, colour, small}],
// labels: [{y, text, colour, bold}]}, in the numbers of its axes.

const LABEL = 11; // pixels of a letter's height

/** An element of SVG. */
function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, given] of Object.entries(attributes)) if (given != null) element.setAttribute(name, given);
  element.append(...children);
  return element;
}

function labelRoom(labels, width) {
  const longest = labels.reduce((most, { text, bold }) => Math.max(most, text.length * (bold ? 6.4 : 5.9)), 0);
  return longest ? Math.min(longest + 14, Math.max(0.3 * width, Math.min(190, 0.42 * width))) : 0;
}

function placeMarks(element) {
  const full = element._fullLayout;
  if (!element._marks || !full?.xaxis?.d2p) return;
  const { xaxis, yaxis, _size: size } = full;
  const { line = null, frame = null, rings = [], labels = [] } = element._marks();
  const [left, right, top, bottom] = [size.l, size.l + size.w, size.t, size.t + size.h];
  const across = (x) => left + xaxis.d2p(x);
  const up = (y) => top + yaxis.d2p(y);
  const inside = (x, y) => x >= left - 1 && x <= right + 1 && y >= top - 1 && y <= bottom + 1;
  const { edge, paper, ink } = look();
  const parts = [];
  if (line !== null && inside(across(line), top)) {
    parts.push(svg("path", { d: `M${across(line)} ${top}V${bottom}`, stroke: edge, "stroke-width": 1.2, "stroke-dasharray": "2 3" }));
  }
  if (frame) {
    const [from, to] = frame.map(across);
    parts.push(svg("rect", { x: from, y: top, width: to - from, height: size.h, fill: "none", stroke: ink, "stroke-width": 2 }));
  }
  for (const { x, y, colour: stroke, small } of rings) {
    const [cx, cy] = [across(x), up(y)];
    if (!inside(cx, cy)) continue;
    parts.push(svg("circle", { cx, cy, r: small ? 3 : 4.5, fill: paper, stroke, "stroke-width": small ? 1.6 : 2.4, "data-x": x, "data-y": y }));
  }
  const shown = labels.filter(({ y }) => y !== null && Number.isFinite(up(y)) && up(y) >= top - 12 && up(y) <= bottom + 12);
  if (shown.length * LABEL <= size.h + LABEL) {
    const letters = Math.floor((full.width - right - 8) / 5.5);
    const places = spreadOut(shown.map(({ y }) => up(y)), LABEL + 2, top + 2, bottom - 2);
    shown.forEach(({ text, colour: fill, bold }, i) => parts.push(svg("text",
      { x: right + 8, y: places[i] + 4, fill, "font-size": LABEL, "font-weight": bold ? 700 : null }, cut(text, letters))));
  }
  let layer = element.querySelector(":scope > .marks");
  if (!layer) {
    layer = svg("svg", { class: "marks", "aria-hidden": "true" });
    element.append(layer);
  }
  layer.replaceChildren(...parts);
}

/** Places as near to the wanted ones as a distance between them allows. */
function spreadOut(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const places = [];
  let free = low;
  for (const i of order) {
    places[i] = Math.max(wanted[i], free);
    free = places[i] + gap;
  }
  let last = high;
  for (const i of order.reverse()) {
    places[i] = Math.min(places[i], last);
    last = places[i] - gap;
  }
  return places;
}
