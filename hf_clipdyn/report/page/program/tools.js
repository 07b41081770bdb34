// What a reader can take away: charts as CSV, as SVG and as links; all numbers as CSV; the figures as SVG.

function save(name, type, text) {
  h("a", { download: name, href: `data:${type};charset=utf-8,${encodeURIComponent(text)}` }).click();
}

// Rows as comma-separated values. A text that a spreadsheet would take for a formula begins with an
// apostrophe.
function csv(rows) {
  const cell = (given) => {
    if (typeof given === "number") return String(given);
    const text = given == null ? "" : String(given).replace(/^(?=[=+\-@\t\r])/, "'");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

const POINT = ["value", "ci_low", "ci_high", "n", "interpretable", "note"];

// A point of a line as cells under the headings `POINT`.
function pointCells({ y, low, high, n, usable, notes }, i) {
  return [y[i], low[i], high[i], n[i], y[i] === null ? "" : Boolean(usable[i]), notes[i]];
}

// The numbers of a chart, or the texts of a table, under their headings.
function rowsOf(slot) {
  if (slot.tagName === "TABLE") {
    const words = ({ innerText }) => innerText.trim().replace(/\s+/g, " ");
    return [...slot.rows].map(({ cells }) => [...cells].map(words));
  }
  const { traces, panel: { form, places: { x: across, y: up } = {} } } = slot.drawn;
  if (form === "map") return [["row", ...across], ...traces[0].z.map((row, i) => [up[i], ...row])];
  const shown = traces.filter(({ meta: { kind, seen } }) => ["line", "rows"].includes(kind) && seen === "on");
  const rows = shown.flatMap(({ meta }) =>
    meta.y.map((_, i) => [meta.label, whereWords(meta, i), meta.x[i], ...pointCells(meta, i)]));
  return [["series", "place", "x", ...POINT], ...rows];
}

// Every number of the page, a row a point of a line.
function allRows() {
  const every = VIEWS.flatMap(({ panels }) => panels);
  const panels = every.filter(({ training, form }) => training || form === "rows");
  const names = [...new Set(panels.flatMap(({ choices }) => Object.keys(choices)))];
  const rows = [["benchmark", ...names, "run", "revision", "step", "line", ...POINT]];
  for (const { benchmark, choices, lines } of panels) {
    for (const line of lines.filter(({ of }) => of !== "mean")) {
      const run = RUNS.get(line.run);
      line.y.forEach((_, i) => {
        const step = run?.steps[run.stops.indexOf(line.at[i])];
        const place = [...names.map((name) => choices[name]), line.run, whereWords(line, i), step, line.label];
        rows.push([benchmark, ...place, ...pointCells(line, i)]);
      });
    }
  }
  return rows;
}

async function pictureOf(slot) {
  const { width, height } = slot.drawn;
  const uri = await Plotly.toImage(slot, { format: "svg", width, height });
  const drawn = decodeURIComponent(uri.slice(uri.indexOf(",") + 1));
  const over = new XMLSerializer().serializeToString(slot.querySelector(":scope > .marks"));
  return drawn.replace(/<\/svg>\s*$/, `<g font-family="sans-serif">${over}</g></svg>`);
}

// The address with this place; it is copied where the browser allows that.
async function copyLink(id) {
  state.set("at", id);
  state.flush();
  const copied = navigator.clipboard?.writeText(location.href).then(() => "Link copied.", () => null);
  const said = document.getElementById("said");
  said.textContent = await copied ?? "The address of this page is now the link.";
  setTimeout(() => said.replaceChildren(), 4000);
}

// What the buttons of a chart and of the title line do, by their name.
const TAKEN = {
  csv: (id, slot) => save(`${id}.csv`, "text/csv", csv(rowsOf(slot))),
  svg: async (id, slot) => save(`${id}.svg`, "image/svg+xml", await pictureOf(slot)),
  link: copyLink,
  view: () => copyLink(state.get("at")),
  data: () => save("numbers.csv", "text/csv", csv(allRows())),
  figures() {
    const text = document.querySelector("#glance noscript").textContent;
    const { images } = new DOMParser().parseFromString(text, "text/html");
    for (const { src: href, dataset: { name } } of images) h("a", { href, download: `${name}.svg` }).click();
  },
};

function mountTools() {
  document.addEventListener("click", ({ target }) => {
    const { take } = target.dataset ?? {};
    if (!take) return;
    const holder = target.closest("figure, .taken");
    TAKEN[take](holder?.id, holder?.querySelector(".slot, table"));
    target.closest("details.tools")?.removeAttribute("open");
  });
  document.addEventListener("keydown", ({ key, target }) => {
    const menu = key === "Escape" && target.closest?.("details[open]:is(.tools, .chip, .settings)");
    if (!menu) return;
    menu.open = false;
    menu.firstElementChild.focus();
  });
}
