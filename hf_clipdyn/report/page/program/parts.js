// The parts of the page that show numbers: the bar, the first screen, benchmarks and learning, and the evidence.

// ---------------------------------------------------------------- bar

function mountBar(bar) {
  const { meta, groups, runs } = DATA;
  if (meta.overTraining && meta.stops.length > 1) bar.append(slider());
  const row = h("div", { class: "switches", id: "settings" });
  if (meta.overTraining) control(row, { key: "x", label: "x axis", options: Object.entries(meta.axes).map(([name, { title }]) => [name, title]), fallback: meta.axis });
  if (hasSeeds) control(row, { key: "seeds", label: "Seeds", options: [["mean", "mean and interval"], ["each", "one line each"]], fallback: "mean" });
  if (groups.length > 1) row.append(switches(groups, "Shown"));
  const seeds = [...new Set(runs.map(({ seed }) => seed))].filter((seed) => seed !== null);
  if (hasSeeds && seeds.length > 1) {
    const named = (wanted) => runs.filter(({ seed }) => seed === wanted).map(({ name }) => name);
    row.append(switches(seeds.map((seed) => ({ title: `seed ${seed}`, runs: named(seed) })), "Seeds"),
      h("details", {}, h("summary", {}, "Single runs"), switches(runs.map(({ name }) => ({ title: name, runs: [name] })), "Runs")));
  }
  const open = ({ target }) => target.setAttribute("aria-expanded", String(row.classList.toggle("open")));
  if (row.childElementCount) bar.append(h("button", { type: "button", class: "more", "aria-expanded": "false", "aria-controls": "settings", onclick: open }, "Axes and runs"), row);
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !row.classList.contains("open")) return;
    bar.querySelector(".more").click();
    bar.querySelector(".more").focus();
  });
  bar.hidden = !bar.childElementCount;
}

function slider() {
  const { stops } = DATA.meta;
  const output = h("output", { for: "training", id: "training-at", "aria-live": "polite" });
  const input = h("input", { type: "range", id: "training", min: 0, max: stops.length - 1, step: 1, oninput: () => setStop(Number(input.value)) });
  const play = h("button", { type: "button", class: "play", "aria-label": "Play", onclick: () => (timer ? halt() : start()) }, "▶");
  let timer = 0;
  const halt = () => { clearInterval(timer); timer = 0; play.textContent = "▶"; play.setAttribute("aria-label", "Play"); };
  const start = () => {
    if (stop() === stops.length - 1) setStop(0);
    play.textContent = "■";
    play.setAttribute("aria-label", "Stop");
    timer = setInterval(() => (stop() < stops.length - 1 ? setStop(stop() + 1) : halt()), Math.max(150, 6000 / stops.length));
  };
  const show = () => {
    const { at, label } = stops[stop()];
    input.value = String(stop());
    input.setAttribute("aria-valuetext", label);
    const [, unit, place] = /^(.*) (\S+)$/.exec(label);
    output.replaceChildren(h("span", {}, `${unit} `), place + (at === 0 ? " (untrained)" : ""));
  };
  state.watch(["t"], show);
  show();
  return h("div", { class: "slider" }, play, h("label", { for: "training" }, "Training"), input, output);
}

/** Checkboxes that switch runs on and off. */
function switches(entries, legend) {
  const boxes = entries.map(({ title, colour, runs }) => {
    const swatch = colour ? h("i", { class: "swatch" }) : null;
    const box = h("input", { type: "checkbox", onchange: () => showRuns(runs, box.checked) });
    const show = () => {
      const off = hiddenNames();
      box.checked = runs.some((name) => !off.has(name));
      box.indeterminate = box.checked && runs.some((name) => off.has(name));
      if (swatch) swatch.style.background = toned(colour);
    };
    state.watch(["hidden"], show);
    show();
    return h("label", { class: "switch" }, box, swatch, h("span", {}, title));
  });
  return h("fieldset", {}, h("legend", {}, legend), boxes);
}

// ---------------------------------------------------------------- first screen

const SMALL = 190;
const MOST_TOGETHER = 3; // groups of runs that share a small chart; more have one each

function mountGlance(element) {
  if (!DATA.meta.overTraining) return mountModels(element);
  const grid = h("div", { class: DATA.overview.length === 4 ? "multiples narrow" : "multiples" });
  if (DATA.groups.length > MOST_TOGETHER) mountGroups(element, grid);
  else {
    const shared = commonPlace();
    element.append(...(shared ? [h("p", { class: "quiet" }, `Where no other place is named: ${shared}.`)] : []), grid);
    DATA.overview.forEach(({ benchmark, panel }, at) => {
      const where = panel.place === shared ? null : h("span", {}, panel.place);
      chart(grid, { id: `glance-${at}`, height: SMALL, small: true, panel: () => panel,
        caption: h("div", {}, h("a", { href: `#${DATA.benchmarks[benchmark].anchor}` }, panel.title), where) });
    });
  }
  return mountChanged(element);
}

/** What most small charts were measured on, to be said once. */
function commonPlace() {
  const places = DATA.overview.map(({ panel }) => panel.place);
  const times = (wanted_) => places.filter((place) => place === wanted_).length;
  const [most] = [...new Set(places)].sort((a, b) => times(b) - times(a));
  return times(most) > 1 ? most : "";
}

/** A small chart for each arm or size of one metric, with the main arm of its size behind it. */
function mountGroups(element, grid) {
  const bar = choiceBar();
  element.append(bar, grid);
  const options = DATA.overview.map(({ panel }, at) => [at, `${panel.title}, ${panel.place}`]);
  const metric = control(bar, { key: "glance", label: "Metric", options });
  const order = [...DATA.groups].sort((a, b) => Boolean(a.arm) - Boolean(b.arm));
  for (const { title, colour, runs, behind } of order) {
    const swatch = h("i", { class: "swatch" });
    const seeds = `${runs.length} ${runs.length === 1 ? "seed" : "seeds"}${behind ? `; grey: ${behind}` : ""}`;
    chart(grid, { id: `glance-${DATA.groups.findIndex((group) => group.title === title)}`, height: SMALL, small: true, keys: ["glance"],
      caption: h("div", {}, swatch, title, h("span", {}, seeds)), panel: () => DATA.overview[Number(metric.value())].panel,
      only: () => ({ only: [title], behind: behind ? [behind] : [] }), then: () => { swatch.style.background = toned(colour); } });
  }
}

/** Models without training: a row for each metric of one model; of several, a row a model, which a heading sorts. */
function mountModels(element) {
  const panels = DATA.overview.map(({ panel }) => panel);
  const one = DATA.runs.length === 1;
  const bar = choiceBar();
  const compared = DATA.parts.differences ?? { words: "", of: {} };
  const names = Object.keys(compared.of);
  const against = control(bar, { key: "against", label: "Paired differences from", options: [["", "none"], ...names.map((name) => [name, name])] });
  const [head, body, note] = [h("tr", {}), h("tbody", {}), h("p", { class: "quiet" })];
  const table = h("table", { class: one ? "forest stacked" : "forest models" }, h("caption", { class: "unseen" }, "Values with their intervals"), h("thead", {}, head), body);
  const holder = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Values with their intervals" }, table);
  if (names.length) element.append(bar);
  element.append(holder, note);
  const cell = (panel, name) => panel.rows.find(({ label }) => label === name);
  const columns = [{ title: "model", key: (name) => name }, ...panels.map((panel) => ({ ...panel, key: (name) => cell(panel, name)?.v ?? null }))];
  const sortBy = (at, down) => state.set("sort", `${at}${down ? "d" : "a"}`);
  const headings = (column, down) => columns.map(({ title, place }, at) => h("th", { scope: "col", "aria-sort": at !== column ? null : down ? "descending" : "ascending" },
    h("button", { type: "button", class: "sort", onclick: () => sortBy(at, at === column ? !down : at > 0) }, title, at === column ? (down ? " ↓" : " ↑") : ""),
    place ? h("span", {}, place) : null));
  live(holder, ["hidden", "sort", "against"], () => {
    if (one) {
      head.replaceChildren(...["metric", "on the scale of the metric", "value and interval", "beside it"].map((title) => h("th", { scope: "col" }, title)));
      body.replaceChildren(...panels.flatMap((panel) => panel.rows.map((row) => h("tr", {}, h("th", { scope: "row" }, panel.title, h("span", {}, panel.place)),
        h("td", {}, dot(row, panel)), h("td", {}, row.words), h("td", {}, [...row.beside, ...panel.beside].join(" "))))));
      return;
    }
    const [, wanted, way] = /^(\d{1,3})([ad])$/.exec(state.get("sort", "")) ?? [];
    const [column, down] = Number(wanted) < columns.length ? [Number(wanted), way === "d"] : [columns.length > 1 ? 1 : 0, true];
    head.replaceChildren(...headings(column, down));
    const { key } = columns[column];
    const off = hiddenNames();
    const shown = DATA.runs.map(({ name }) => name).filter((name) => !off.has(name))
      .sort((a, b) => (key(a) === null) - (key(b) === null) || (key(a) < key(b) ? -1 : 1) * (down ? -1 : 1));
    body.replaceChildren(...shown.map((name) => h("tr", {}, h("th", { scope: "row" }, name), panels.map((panel, at) => {
      const row = cell(panel, name);
      const difference = compared.of[against.value()]?.[name]?.[at];
      return row ? h("td", {}, dot(row, panel), h("span", {}, row.words), difference ? h("span", { class: "difference" }, differenceWords(difference)) : null)
        : h("td", {}, "not measured");
    }))));
    note.replaceChildren(against.value() ? compared.words : "");
  });
  mountTools(holder, { picture: false, rows: () => [...table.rows].map((row) => [...row.cells].map((each) => each.innerText.trim().replace(/\s+/g, " "))) });
}

/** Value and interval as a dot and a line on the scale of a panel. */
function dot({ v, lo, hi, ok, colour }, { layout: { xaxis } }) {
  const [width, height] = [220, 18];
  const [low, high] = xaxis.range;
  const at = (given) => Math.min(Math.max(6 + ((width - 12) * ((xaxis.type === "log" ? Math.log10(given) : given) - low)) / (high - low || 1), 0), width);
  const { edge, grey, paper } = look();
  const own = ok ? toned(colour) : grey;
  return svg("svg", { class: "dots", width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("path", { d: `M0 ${height / 2}H${width}`, stroke: edge, "stroke-width": 0.6 }),
    v === null || lo === null || hi === null ? null : svg("path", { d: `M${at(lo)} ${height / 2}H${at(hi)}`, stroke: own, "stroke-width": 2.2 }),
    v === null ? null : svg("circle", { cx: at(v), cy: height / 2, r: 4.5, fill: ok ? own : paper, stroke: own, "stroke-width": 1.6 }));
}

function differenceWords([v, lo, hi, p]) {
  const signed = (given) => (given > 0 ? "+" : "") + value(given, 1);
  return `${signed(v)}${lo === null ? "" : ` [${signed(lo)}, ${signed(hi)}]`}${p === null ? "" : `, p ${p < 0.001 ? "< 0.001" : `= ${p.toFixed(3)}`}`}`;
}

// ---------------------------------------------------------------- benchmarks and learning

const learns = ({ question }) => DATA.meta.overTraining && question !== "";
registerSection({ name: "benchmarks", title: "Benchmarks", rank: 40, applies: () => DATA.benchmarks.some((each) => !learns(each)),
  mount: (section) => mountTabs(section, "tab", DATA.benchmarks.filter((each) => !learns(each)).map((each) => [each.title, each])) });
registerSection({ name: "learning", title: "Learning", rank: 50, applies: () => DATA.benchmarks.some(learns), mount: (section) => {
  section.append(h("p", { class: "quiet" }, "How the model came to its scores: a question on each tab, asked of all revisions together. All of it describes; nothing is tested."));
  mountTabs(section, "learning", DATA.benchmarks.filter(learns).map((each, _, { length: n }) =>
    [DATA.benchmarks.filter(({ question }) => question === each.question).length > 1 && n > 1 ? `${each.question}: ${each.of}` : each.question, each]));
} });
for (const { name, title, panels } of DATA.charts) {
  registerSection({ name, title, rank: 60, applies: () => panels.length > 0, mount: (section) => {
    const grid = h("div", { class: "multiples narrow" });
    section.append(grid);
    panels.forEach((panel, at) => chart(grid, { id: `${name}-${at}`, height: 300, panel: () => panel, caption: captionOf(panel) }));
  } });
}

function captionOf({ title, place }) { return h("div", {}, h("strong", {}, title), h("span", {}, place)); }

const tabs = []; // of all sections: {key, tab, panel, choose, mount}

/** Tabs, one for each benchmark; `key` holds the chosen one in the address. */
function mountTabs(section, key, entries) {
  const bar = h("div", { role: "tablist", "aria-label": section.querySelector("h2").textContent, class: "tabs" });
  section.append(bar);
  const own = entries.map(([title, benchmark], at) => {
    const { anchor } = benchmark;
    const choose = () => state.set(key, at ? anchor : null);
    const tab = h("button", { type: "button", role: "tab", id: `tab-${anchor}`, "aria-controls": anchor, onclick: choose, onkeydown: (event) => moveTab(event, own) }, title);
    const panel = h("section", { role: "tabpanel", id: anchor, class: "benchmark", "aria-labelledby": tab.id },
      h("h3", { tabindex: -1 }, benchmark.title, " ", h("code", {}, benchmark.name)));
    bar.append(tab);
    section.append(panel);
    return { tab, panel, choose, anchor, mount: () => { if (panel.childElementCount < 2) mountBenchmark(panel, benchmark); } };
  });
  const show = () => {
    const chosen = own.find(({ anchor }) => anchor === state.get(key)) ?? own[0];
    for (const each of own) {
      each.tab.setAttribute("aria-selected", String(each === chosen));
      each.tab.tabIndex = each === chosen ? 0 : -1;
      each.panel.hidden = each !== chosen;
    }
    chosen.mount();
  };
  tabs.push(...own.map((each) => ({ ...each, show })));
  state.watch([key], show);
  show();
}

function moveTab(event, own) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const at = own.findIndex(({ tab }) => tab === event.target);
  const next = { Home: 0, End: own.length - 1 }[event.key] ?? (step && (at + step + own.length) % own.length);
  if (next === undefined) return;
  event.preventDefault();
  own[next].choose();
  own[next].tab.focus();
}

/** The views of a benchmark: a figure for each, whose selects choose one of its panels. */
function mountBenchmark(element, benchmark) {
  const views = Map.groupBy(benchmark.panels.filter(({ section }) => section !== "stimuli"), ({ view }) => view);
  for (const [name, panels] of views) mountView(element, benchmark, name, panels);
}

const LABELS = { metric: "Metric", over: "Over", variant: "Variant", reference: "With", texts: "Texts", probe: "Probe", layer: "Layer", subset: "Subset",
  condition: "Condition", level: "Level", parameter: "Parameter", setup: "Setup", run: "Run" };
const RAMPS = ["level", "layer", "parameter"];
const HEIGHT = 420;

function mountView(element, benchmark, name, panels) {
  const prefix = [benchmark.name, ...(name ? [name] : [])].join(".");
  const id = [benchmark.anchor, name || "explorer"].join("-").replace(/[^a-z0-9]+/gi, "-").toLowerCase();
  const bar = choiceBar();
  const aside = h("aside", { class: "readout" });
  const holder = h("div", { class: "explorer" });
  const table = h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": "Numbers of this chart" });
  const details = h("details", {}, h("summary", {}, "The numbers behind this chart"), table);
  const place = h("div", { class: "view wide", id: `${id}-view`, "data-view": name || "explorer" }, name ? h("h4", {}, name) : null, bar, holder, details);
  element.append(place);
  const { keys, chosen } = panelSelects(bar, panels, (facet) => `${prefix}.${facet}`);
  const caption = h("strong", {});
  const then = (panel, slot) => {
    caption.textContent = panel.title;
    fillReadout(aside, benchmark, panel, slot.data ?? []);
    if (details.open) table.replaceChildren(numbersOf(panel, slot.data ?? []));
  };
  const figure = chart(holder, { id, caption, keys, height: panels[0].layout.height ?? HEIGHT, panel: chosen, then });
  holder.append(aside);
  details.addEventListener("toggle", () => { if (details.open) table.replaceChildren(numbersOf(chosen(), figure.querySelector(".slot").data ?? [])); });
}

/** Selects among panels in the order of preference: each offers what those before it leave, and the first is the usual. */
function panelSelects(bar, panels, key) {
  const facets = Object.keys(LABELS).filter((name) => new Set(panels.map(({ choices }) => choices[name])).size > 1);
  const boxes = facets.map((name) => [name, control(bar, { key: key(name), label: LABELS[name], options: [["", ""]] })]);
  const chosen = () => {
    let left = panels;
    for (const [name, box] of boxes) {
      const offered = [...new Set(left.map(({ choices }) => choices[name] ?? ""))];
      const usual = offered[0];
      const step = (words) => Number(/\d[\d.e-]*/.exec(words)?.[0] ?? -Infinity);
      if (RAMPS.includes(name)) offered.sort((a, b) => a.startsWith("all") - b.startsWith("all") || step(a) - step(b));
      box.update(offered.map((words) => [words, words || "none"]), usual);
      left = left.filter(({ choices }) => (choices[name] ?? "") === box.value());
    }
    return left[0];
  };
  return { keys: facets.map(key), chosen };
}

// ---------------------------------------------------------------- words beside a chart

const MOST_READ = 24;

/** What a line says at a place of its points, also where its mark is hollow or a cross. */
function pointWords(trace, i, traces) {
  const [low, high, words] = endsOf(trace, i);
  if (trace.y[i] != null) return words ? plain(words) : withInterval(trace.y[i], low, high);
  const { run, group, at, of } = trace.meta;
  const other = traces.find(({ meta }) => ["hollow", "missing"].includes(meta?.kind) && meta.run === run && meta.group === group && meta.of === of && meta.at.includes(at[i]));
  return other ? plain(other.customdata[other.meta.at.indexOf(at[i])]) : "";
}

const courses = (traces) => traces.filter(({ meta, visible, opacity }) => meta?.kind === "line" && visible !== "legendonly" && opacity === undefined);

function fillReadout(aside, benchmark, panel, traces) {
  const rows = panel.training ? courses(traces).slice(0, MOST_READ).map((trace) => {
    const i = trace.meta.at.findLastIndex((at) => at >= 0 && at <= stop());
    const earlier = i >= 0 && trace.meta.at[i] < stop() && plain(trace.text[i]) !== revisionOf(trace.meta.run, stop()) ? ` (${plain(trace.text[i])})` : "";
    return h("tr", {}, h("th", { scope: "row" }, h("i", { class: "swatch", style: `background:${trace.line.color}` }), plain(trace.name)),
      h("td", {}, i < 0 ? "no revision so early" : pointWords(trace, i, traces) + earlier));
  }) : [];
  const seeds = seedsAs() === "mean" && traces.some(({ meta }) => meta?.of === "mean")
    ? ["Lines are means over seeds. Their intervals (95 %, Student's t) are over the seeds, not over the items."] : [];
  const said = [...(benchmark.words[panel.metric] ?? []), ...seeds, ...panel.notes].map((text) => h("p", {}, text));
  aside.replaceChildren(...said, ...(rows.length ? [h("table", {}, h("caption", {}, `At ${DATA.meta.stops[stop()].label}`), h("tbody", {}, rows))] : []));
}

/** The numbers of a chart as a table: a row for each revision or place, a column for each line. */
function numbersOf(panel, traces) {
  if (panel.form === "rows") return tableOf(panel.title, ["", "value"], panel.rows.map(({ label, words }) => [label, words]));
  if (panel.form === "map") return tableOf(panel.title, ["", ...panel.places.x.map(plain)], traces[0].z.map((row, i) => [plain(panel.places.y[i] ?? i + 1), ...row.map((z) => value(z))]));
  const shown = courses(traces);
  const names = new Map(shown.flatMap(({ text, meta, x }) => text.map((words, i) => [plain(words), panel.training ? meta.at[i] : x[i]])));
  const cells = shown.map((trace) => new Map(trace.text.map((words, i) => [plain(words), pointWords(trace, i, traces)])));
  const keys = [...names.keys()].filter(Boolean).sort((a, b) => names.get(a) - names.get(b));
  return tableOf(panel.title, [panel.training ? "revision" : "place", ...shown.map(({ name }) => plain(name))], keys.map((name) => [name, ...cells.map((held) => held.get(name) ?? "")]));
}

// ---------------------------------------------------------------- evidence

/** Folded parts of the evidence, each mounted when it is first opened. */
function mountFolds(holder) {
  const metrics = Object.entries(DATA.meta.axes).filter(([, { metric }]) => metric);
  const folds = DATA.tables.map(({ id, title, caption, headings, rows }) => [id, title, (body) => body.append(tableOf(caption, headings, rows))]);
  if (metrics.length > 1) folds.unshift(["scatter", "Any two metrics against each other", (body) => mountScatter(body, metrics)]);
  for (const [id, title, mount] of folds) {
    const body = h("div", {});
    const fold = h("details", { class: "fold", id }, h("summary", {}, title), body);
    const mounted = () => { if (!body.childElementCount) mount(body); };
    fold.addEventListener("mount", mounted);
    fold.addEventListener("toggle", () => { if (fold.open) mounted(); });
    holder.append(fold);
  }
}

/** Two metrics of the first screen against each other: paths over training, dots for models. They describe. */
function mountScatter(body, metrics) {
  const bar = choiceBar();
  const options = metrics.map(([name, { title }]) => [name, title]);
  body.append(h("p", { class: "quiet" }, "Trends over training always correlate, so this is drawn, never tested. Ring: the slider's revision."), bar);
  const across = control(bar, { key: "scatter.x", label: "Across", options });
  const up = control(bar, { key: "scatter.y", label: "Up", options, fallback: options[1][0] });
  chart(body, { id: "scatter-chart", height: 460, caption: h("strong", {}), keys: ["scatter.x", "scatter.y"], panel: () => scatterOf(DATA.meta.axes[across.value()], DATA.meta.axes[up.value()]) });
}

function scatterOf(a, b) {
  const off = hiddenNames();
  const data = DATA.runs.filter(({ name }) => !off.has(name)).map(({ name, stops, group }) => {
    const known = stops.filter((t) => a.of[name]?.[t] != null && b.of[name]?.[t] != null);
    const bars = ({ of, ends }) => ({ type: "data", symmetric: false, array: known.map((t) => (ends[name]?.[t]?.[1] ?? of[name][t]) - of[name][t]),
      arrayminus: known.map((t) => of[name][t] - (ends[name]?.[t]?.[0] ?? of[name][t])), thickness: 1, width: 0, color: `${GROUPS.get(group).colour} .3` });
    return { type: "scatter", mode: known.length > 1 ? "lines+markers" : "markers", name: escape(name), x: known.map((t) => a.of[name][t]), y: known.map((t) => b.of[name][t]),
      text: known.map((t) => escape(revisionOf(name, t))), hovertemplate: "<b>%{fullData.name}</b><br>%{x:.3f} and %{y:.3f}<br>%{text}<extra></extra>",
      line: { color: GROUPS.get(group).colour, width: 1.5 }, marker: { color: GROUPS.get(group).colour, size: known.length > 1 ? 5 : 10 },
      error_x: bars(a), error_y: bars(b), meta: { kind: "line", run: name, path: known } };
  });
  const said = data.map(({ name, x, y }) => `${name}: ${x.length ? `${value(x.at(-1))} and ${value(y.at(-1))}` : "not both measured"}`).slice(0, 8).join("; ");
  return { form: "lines", title: `${b.title} against ${a.title}`, alt: `Scatter of ${a.title} (across) and ${b.title} (up). ${said}.`, data, names: [], spans: [], notes: [],
    layout: { xaxis: { title: { text: escape(a.title) }, showgrid: true }, yaxis: { title: { text: escape(b.title) } } } };
}
