// Plotly in the page's dress: colours of the theme, one way to draw, and the x axis of training. Other files may use:
//
//   look()                    {paper, ink, grey, grid, edge, human}, of the present theme
//   colour(run), groupColour(group), hue(i), shade(i, n)    colours of the present theme
//   draw(element, traces, layout, {alt, height, marks})    `marks()` is what moves with the slider, see marks.js
//   trainingAxis(x)           layout of the x axis of training;  place(run, index, x)  a point's place on it
//
// A trace with `meta: {runs: [run, …]}` switches these runs on and off from its entry in the legend.

const dark = matchMedia("(prefers-color-scheme: dark)");
const coarse = matchMedia("(pointer: coarse)");

let printing = false; // paper is white
function isDark() { return dark.matches && !printing; }
/** The colour of a pair [on white, on a dark page] that counts now. */
function tone(pair) { return pair[isDark() ? 1 : 0]; }
function look() {
  return Object.fromEntries(Object.entries(DATA.meta.theme).map(([name, pair]) => [name, tone(pair)]));
}
function colour(run) { return tone(run.colour); }
function groupColour(group) { return tone(DATA.groups[group].colour); }
function hue(index) { return tone(DATA.meta.hues[index % DATA.meta.hues.length]); }
function shade(index, n) {
  const ramp = DATA.meta.shades;
  return tone(ramp[Math.round((index * (ramp.length - 1)) / Math.max(n - 1, 1))]);
}
/** A colour of the theme (#rrggbb) with an opacity. */
function faded(hex, opacity) {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${opacity})`;
}

const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", Roboto, sans-serif';

const CONFIG = {
  displayModeBar: false, // tools.js has what a reader needs, beside the chart
  responsive: false,
  doubleClick: "reset",
  // A finger scrolls the page: it must not be caught by a chart.
  scrollZoom: false,
};

function baseLayout(height) {
  const { paper, ink, grey, grid, edge } = look();
  const axis = { gridcolor: grid, linecolor: edge, tickcolor: edge, zerolinecolor: grid, tickfont: { color: grey, size: 11.5 },
    title: { font: { color: grey, size: 12 }, standoff: 8 }, automargin: true, zeroline: false };
  return {
    height,
    autosize: true,
    margin: { l: 8, r: 12, t: 10, b: 8, pad: 4 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: FONT, size: 12, color: ink },
    colorway: DATA.meta.hues.map(tone),
    hovermode: "closest",
    hoverdistance: 30,
    hoverlabel: { bgcolor: paper, bordercolor: edge, font: { family: FONT, size: 12.5, color: ink }, align: "left",
      namelength: -1 },
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, xanchor: "left", font: { size: 12 },
      itemclick: "toggle", itemdoubleclick: false },
    dragmode: coarse.matches ? false : "zoom",
    xaxis: { ...axis, showgrid: false, showline: true, ticks: "outside", ticklen: 4 },
    yaxis: { ...axis, showline: false },
  };
}

function merged(base, over) {
  const found = { ...base };
  for (const [name, given] of Object.entries(over)) {
    const both = [found[name], given].every((one) => one && typeof one === "object" && !Array.isArray(one));
    found[name] = both ? merged(found[name], given) : given;
  }
  return found;
}

const widths = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const known = target._drawnWidth;
    if (known !== undefined && Math.abs(known - contentRect.width) >= 1 && contentRect.width > 0) {
      target._drawnWidth = contentRect.width;
      Plotly.relayout(target, { width: contentRect.width });
    }
  }
});

/** Keep the room of a chart before it is drawn, so that nothing below it moves. */
function reserve(element, height) { element.style.minHeight = `${height}px`; }

/** Draw, or draw again. `alt`: a sentence for people who do not see it. The arrow keys move the slider. */
function draw(element, traces, layout = {}, { alt = "", height = 340, marks = null } = {}) {
  const first = element._drawnWidth === undefined;
  if (first) {
    element.classList.add("chart");
    element.setAttribute("role", "img");
    element.tabIndex = -1;
    element.addEventListener("keydown", moveSlider);
  }
  element.setAttribute("aria-label", alt);
  reserve(element, layout.height ?? height);
  const width = element.getBoundingClientRect().width || 600;
  element._drawnWidth = width;
  const base = merged({ ...baseLayout(height), width, autosize: false }, layout);
  if (marks) {
    const room = labelRoom(marks().labels ?? [], width);
    base.margin = { ...base.margin, r: Math.max(base.margin.r, room) };
  }
  Plotly.react(element, traces, base, CONFIG);
  element._marks = marks;
  placeMarks(element);
  if (first) {
    element.on("plotly_afterplot", () => placeMarks(element));
    element.on("plotly_legendclick", ({ curveNumber, data }) => {
      const runs = data[curveNumber].meta?.runs;
      if (!runs) return true;
      const off = hiddenNames();
      showRuns(runs, runs.every((run) => off.has(run.name)));
      return false;
    });
    widths.observe(element);
    mountTools(element);
  }
  return element;
}

function moveSlider(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  setStop(stop() + step);
}

function setStop(t) {
  const last = DATA.meta.stops.length - 1;
  const next = Math.min(Math.max(t, 0), last);
  state.set("t", next === last ? null : next);
}

// ---------------------------------------------------------------- the x axis of training

const LOGARITHMIC = { logsamples: "samples_seen", logsteps: "step" };

/** Of each logarithmic axis: the first and the last trained revision, and where the untrained model is drawn. */
const TRAINED = Object.fromEntries(Object.entries(LOGARITHMIC).map(([x, clock]) => {
  const places = DATA.runs.flatMap((run) => run[clock]).filter((one) => one > 0);
  const first = Math.min(...places);
  return [x, { first, last: Math.max(...places), untrained: first / 3 }];
}));

/** The place of a revision as Plotly draws it: `position`, but on a logarithmic axis 0 lies before all others. */
function place(run, index, x = xAxis()) {
  const found = position(run, index, x);
  return x in LOGARITHMIC && found === 0 ? TRAINED[x].untrained : found;
}

/** Layout of the x axis of training. Its range is that of all runs, so that charts compare and the slider moves none. */
function trainingAxis(x = xAxis()) {
  const title = { text: DATA.meta.axes.find(([name]) => name === x)?.[1] ?? "" };
  if (x === "order") return { title, ...namedTicks() };
  if (x in LOGARITHMIC) return { title, ...logarithmicAxis(x) };
  const places = DATA.runs.flatMap((run) => run.revisions.map((_, i) => position(run, i, x))).filter((at) => at !== null);
  const [low, high] = [Math.min(...places), Math.max(...places)];
  const margin = 0.035 * (high - low || 1);
  return { title: x === "epoch" ? { text: "epoch" } : title, range: [low - margin, high + margin],
    ...(x === "accuracy" ? {} : { tickformat: x === "epoch" ? "~r" : "~s" }) };
}

/** Names of some revisions, counted from the last. */
function namedTicks() {
  const longest = DATA.runs.reduce((best, run) => (run.revisions.length > best.length ? run.revisions : best), []);
  const every = Math.ceil(longest.length / 6);
  const ticks = longest.map((_, i) => longest.length - 1 - i).filter((_, i) => i % every === 0);
  return { tickvals: ticks, ticktext: ticks.map((i) => escape(longest[i])), range: [-0.3, longest.length - 0.7] };
}

function logarithmicAxis(x) {
  const { first, last, untrained } = TRAINED[x];
  const powers = [];
  for (let at = Math.floor(Math.log10(first)); at <= Math.log10(last); at += 1) powers.push(10 ** at);
  const steps = powers.length > 3 ? [1] : [1, 2, 5];
  const ticks = powers.flatMap((one) => steps.map((step) => step * one)).filter((one) => one >= first * 0.97 && one <= last * 1.1);
  const zero = DATA.runs.some((run) => run[LOGARITHMIC[x]].includes(0)) ? [untrained] : [];
  return {
    type: "log",
    tickvals: [...zero, ...ticks],
    ticktext: [...zero.map(() => "0"), ...ticks.map(short)],
    range: [Math.log10(untrained / 1.3), Math.log10(last * 1.3)],
  };
}

/** 1,500,000 as 1.5M. */
function short(number) {
  for (const [size, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(number) >= size) return `${Number((number / size).toPrecision(3))}${letter}`;
  }
  return String(Number(number.toPrecision(3)));
}
