// What was recorded beside the values, as tables that are built when they are opened.

registerFold({ name: "diagnostics", title: "Diagnostics: quantities that describe the measurement", rank: 40,
  applies: () => DATA.series.some(({ role }) => role === "diagnostic"),
  mount: (element) => element.append(tableOf("Diagnostics", ["benchmark", "quantity", "condition", "value"], diagnosticRows())) });

registerFold({ name: "undefined", title: "Not defined: numbers without a value, with their causes", rank: 50,
  applies: () => DATA.series.some(({ v }) => v.includes(null)),
  mount: (element) => element.append(tableOf("Numbers that are not defined", ["run", "benchmark", "metric", "detail", "revisions", "cause"], undefinedRows())) });

const MOST_ROWS = 200;

/** A table of texts; of many rows a part, with a button for the others. */
function tableOf(caption, headings, rows) {
  const body = h("tbody", {});
  const more = h("button", { type: "button", class: "more" });
  const table = h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, headings.map((title) => h("th", { scope: "col" }, title)))), body);
  const holder = h("div", {}, h("div", { class: "scroll", role: "region", tabindex: 0, "aria-label": caption }, table), more);
  let shown = 0;
  const add = () => {
    body.append(...rows.slice(shown, shown + MOST_ROWS).map(([first, ...others]) =>
      h("tr", {}, h("th", { scope: "row" }, first), others.map((cell) => h("td", {}, cell)))));
    shown = Math.min(shown + MOST_ROWS, rows.length);
    more.hidden = shown === rows.length;
    more.textContent = `Show more of ${count(rows.length)} rows`;
  };
  more.addEventListener("click", add);
  add();
  return holder;
}

function benchmarkNamed(wanted) { return DATA.benchmarks.find(({ name }) => name === wanted); }

/** Groups of items by a key, in the order of their first. */
function grouped(items, key) {
  const groups = new Map();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return [...groups.values()];
}

function diagnosticRows() {
  const known = DATA.series.filter(({ role, v }) => role === "diagnostic" && v.some((each) => each !== null));
  const keyed = known.map((series) => ({ series, detail: detailOf(series, "probe", "texts", "parameter") }));
  return grouped(keyed, ({ series, detail }) => JSON.stringify([series.benchmark, series.metric, detail])).map((members) => {
    const [{ series, detail }] = members;
    const benchmark = benchmarkNamed(series.benchmark);
    const values = members.flatMap((member) => member.series.v.filter((v, i) => v !== null && member.series.ok[i]));
    const [low, high] = [number(least(values), 3), number(greatest(values), 3)];
    return [benchmark.title, benchmark.terms[series.metric].title, detail, low === high ? low : `${low} to ${high}`];
  });
}

function undefinedRows() {
  const points = DATA.series.flatMap((series) => series.v.flatMap((v, i) => (v === null ? [{ series, i }] : [])));
  return grouped(points, ({ series, i }) => JSON.stringify([series.run.index, series.benchmark, series.metric, series.title, series.note[i]])).map((members) => {
    const [{ series, i }] = members;
    const benchmark = benchmarkNamed(series.benchmark);
    const unique = (texts, separator) => [...new Set(texts)].filter(Boolean).join(separator);
    return [series.run.name, benchmark.title, benchmark.terms[series.metric].title + (series.title ? ` (${series.title})` : ""),
      unique(members.map((member) => detailOf(member.series)), "; "),
      unique(members.map((member) => member.series.run.revisions[member.series.r[member.i]]), ", "), series.note[i]];
  });
}
