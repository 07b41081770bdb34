// Which images are learned when: images by revisions, people's accuracy at the margin, and the picture of the image that is
// chosen, from the browser of stimuli. The map is a slider over its rows for the keyboard.

registerView({
  name: "items",
  title: "Image by image",
  rank: 10,
  wide: true,
  applies: (benchmark) => Boolean(DATA.parts.items?.[benchmark.name]),
  mount: mountItems,
});

const ITEM_STATES = ["wrong", "right", "wrong again"];

function mountItems(element, benchmark) {
  const part = DATA.parts.items[benchmark.name];
  const key = (name) => `${benchmark.name}.items.${name}`;
  const { bar, chart, note } = frameOf(element, 520);
  const picture = h("div", { class: "stimuli-beside" });
  note.after(picture);
  const way = control(bar, { key: key("way"), label: "Answers", options: part.ways.map((title, i) => [i, title]) });
  const run = runControl(bar, key("run"), DATA.runs.filter(({ name }) => part.runs[name]));
  let shown = 0;
  const sheets = new Sheets(() => show());
  const mapNow = () => part.runs[run().name][Number(way.value())];
  const show = (row = shown) => {
    const map = mapNow();
    if (!map) return picture.replaceChildren();
    shown = Math.max(0, Math.min(row, map.items.length - 1));
    for (const [name, given] of [["min", 1], ["max", map.items.length], ["now", shown + 1], ["text", itemTitle(map, shown)]]) chart.setAttribute(`aria-value${name}`, given);
    placeMarks(chart);
    return picture.replaceChildren(...itemBeside(part, map, shown, run(), sheets));
  };
  live(element, ["hidden", key("way"), key("run")], () => {
    const [one, map] = [run(), mapNow()];
    if (!map) note.replaceChildren(`${one.name}: not measured in this way.`);
    else {
      const first = chart._drawnWidth === undefined;
      drawItems(chart, note, map, { run: one, way: part.ways[Number(way.value())], part, row: () => shown });
      if (first) listenToRows(chart, show, () => shown);
    }
    show();
  }, () => placeMarks(chart));
}

const ROW_STEPS = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

/** The pointer and the keyboard choose a row. */
function listenToRows(chart, show, now) {
  for (const event of ["plotly_click", "plotly_hover"]) chart.on(event, ({ points: [point] }) => show(Math.round(point.y)));
  chart.setAttribute("role", "slider");
  chart.setAttribute("aria-orientation", "vertical");
  chart.tabIndex = 0;
  chart.addEventListener("keydown", (event) => {
    const step = ROW_STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(now() + step);
  });
}

function drawItems(chart, note, map, { run, way, part, row }) {
  const { grey, human, ink } = look();
  const { revisions, items, states, people } = map;
  const z = states.map((row) => [...row].map(Number));
  const shades = [isDark() ? "#2b3036" : "#e9ebee", hue(0), hue(1)];
  const width = chart.clientWidth;
  const height = 520;
  const side = map.n_people > 0;
  const words = (row) => [`<b>image ${escape(items[row])}</b>, ${broken(map.labels[row])}`,
    side ? (people[row] === null ? "no answer of people" : `${people[row]} % of people right`) : ""].filter(Boolean).join("<br>");
  const every = Math.ceil(revisions.length / Math.max(2, Math.floor((side ? 0.8 : 1) * width / 90)));
  const ticks = revisions.map((_, i) => i).filter((i) => (revisions.length - 1 - i) % every === 0);
  const places = items.map((_, i) => i);
  draw(chart, [
    { type: "heatmap", z, x: revisions.map((_, i) => i), y: places, zmin: -0.5, zmax: 2.5, showscale: false, xgap: 1,
      colorscale: shades.flatMap((each, i) => [[i / 3, each], [(i + 1) / 3, each]]), hoverinfo: "text",
      hovertext: z.map((row, i) => row.map((state, j) => `${words(i)}<br>${escape(revisions[j])}: ${ITEM_STATES[state]}`)) },
    ...ITEM_STATES.map((name, i) => ({ type: "scatter", mode: "markers", name, x: [null], y: [null], hoverinfo: "skip", showlegend: true,
      marker: { symbol: "square", size: 10, color: shades[i], line: { color: grey, width: 1 } } })),
    ...(side ? [{ type: "bar", orientation: "h", xaxis: "x2", x: people.map((share) => share ?? 0), y: places, width: 1, showlegend: false,
      marker: { color: human, line: { width: 0 } }, hoverinfo: "text", hovertext: places.map(words) }] : []),
  ], {
    height, showlegend: true, bargap: 0, margin: { b: 46 },
    xaxis: { domain: [0, side ? 0.8 : 1], tickangle: 0, tickvals: ticks, ticktext: ticks.map((i) => escape(cut(revisions[i], 14))), range: [-0.5, revisions.length - 0.5], showgrid: false },
    xaxis2: { domain: [0.83, 1], range: [0, 100], tickvals: [50, 100], tickfont: { color: grey, size: 11 }, title: { text: "% people", font: { color: grey, size: 12 } }, fixedrange: true, zeroline: false, showgrid: false },
    yaxis: { title: { text: "images, most often right first" }, range: [items.length - 0.5, -0.5], showticklabels: false, ticks: "", showgrid: false },
  }, { alt: itemWords(map, run, way), height, marks: () => {
    const now = keptAt(run, revisions);
    return { frame: [now - 0.5, now + 0.5], labels: [{ y: row(), text: `◂ ${items[row()]}`, colour: ink, bold: true }] };
  } });
  note.replaceChildren([
    `${run.name}, ${way}. Each row is an image, in the order of the share of revisions that answer it correctly.`,
    items.length < map.total ? `${count(items.length)} of ${count(map.total)} images, evenly spaced in this order.` : `All ${count(map.total)} images.`,
    `Never right: ${count(map.never)} of ${count(map.total)}; a random learner of the same accuracies would leave ${number(map.expected, 3)}.`,
    side ? `Bars: the share of ${count(map.n_people)} people who are right.` : "The trials contain no answers of people to these images.",
    revisions.length < run.revisions.length ? `${count(revisions.length)} of ${count(run.revisions.length)} revisions, evenly spaced.` : "",
    part.left ? `${count(part.left)} more of these numbers are in the table only.` : "",
    "Point at a row for its image, or choose one with the keys up and down. The frame is the slider's revision."].filter(Boolean).join(" "));
}

/** The picture and the answers of one image, as the browser of stimuli has them; else the cause. */
function itemBeside(part, map, row, run, sheets) {
  const stimuli = DATA.parts.stimuli?.[part.of];
  const pictured = stimuli?.runs[run.name] ? map.items.map((item, i) => ({ i, at: stimuli.items.id.indexOf(item) })).filter(({ at }) => at >= 0) : [];
  const title = itemTitle(map, row);
  if (!pictured.length) return [h("p", { class: "quiet" }, `${title} The page has no pictures of these images.`)];
  const { i, at } = pictured.reduce((best, each) => (Math.abs(each.i - row) < Math.abs(best.i - row) ? each : best));
  const other = i === row ? "" : `The page does not have its picture; the nearest row with one is image ${map.items[i]}, ${map.labels[i]}:`;
  const answers = { part: stimuli, run, way: 0, sheets, ...readAnswers(stimuli, run, 0) };
  return [h("p", { class: "quiet" }, [title, other, stimuli.why].filter(Boolean).join(" ")),
    h("ul", { class: "stimuli" }, stimulus({ ...answers, now: columnAt(answers) }, at, { brief: true }))];
}

function itemTitle(map, row) {
  const people = map.people[row] === null ? "" : `, ${map.people[row]} % of people right`;
  return `Image ${map.items[row]}, ${map.labels[row]}: right at ${[...map.states[row]].filter((state) => state === "1").length} of ${count(map.revisions.length)} revisions${people}.`;
}

function itemWords(map, run, way) {
  const shares = map.revisions.map((name, j) => `${name} ${Math.round((100 * map.states.filter((row) => row[j] === "1").length) / map.items.length)} %`);
  return `Images by revisions of ${run.name}, ${way}, right or wrong. Right: ${shares.join("; ")}. Never right: ${map.never} of ${map.total}.`;
}
