// What a reader can take away: each chart as CSV, as SVG and as a link; all numbers as CSV; the figures as SVG.

/** A closed menu beside a chart, or beside whatever has `rows()` for its CSV; it is one stop of the Tab key. */
function mountTools(element, { rows = () => rowsOfTraces(element), picture: hasPicture = true } = {}) {
  const menu = h("details", { class: "tools" }, h("summary", { "aria-label": "Save or link this chart", title: "CSV, SVG, link" }, "⋯"));
  const action = (title, task) => h("button", { type: "button", onclick: () => { task(); menu.open = false; } }, title);
  menu.addEventListener("toggle", () => {
    if (!menu.open || menu.childElementCount > 1) return;
    const { id } = element.parentElement.closest("[id]");
    menu.append(h("div", {},
      action("CSV", () => save(`${id}.csv`, "text/csv", csv(rows()))),
      hasPicture ? action("SVG", async () => save(`${id}.svg`, "image/svg+xml", await pictureOf(element))) : null,
      action("Link", () => copyLink(id))));
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.firstChild.focus();
  });
  const caption = element.closest("figure")?.querySelector("figcaption");
  if (caption) caption.append(menu);
  else element.before(menu);
}

function save(name, type, text) {
  h("a", { download: name, href: `data:${type};charset=utf-8,${encodeURIComponent(text)}` }).click();
}

/** Rows as comma-separated values. A text that a spreadsheet would take for a formula begins with an apostrophe. */
function csv(rows) {
  const cell = (given) => {
    if (typeof given === "number") return String(given);
    const text = given == null ? "" : String(given).replace(/^(?=[=+\-@\t\r])/, "'");
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

/** The points of a chart: name, place, value, ends of the interval, words. */
function rowsOfTraces({ data }) {
  const rows = data.filter(({ meta, hoverinfo }) => meta?.kind && meta.kind !== "band" && hoverinfo !== "skip").flatMap((trace) => {
    const name = plain(trace.name);
    if (trace.z) return trace.z.flatMap((row, i) => row.map((z, j) => [name, j, i, z, null, null, plain(trace.text[i][j])]));
    return trace.y.flatMap((y, i) => {
      const [low, high, words] = endsOf(trace, i);
      return y === null || trace.x[i] === null ? [] : [[name, trace.x[i], trace.meta.kind === "missing" ? null : y, low, high, plain(words ?? trace.text?.[i])]];
    });
  });
  return [["series", "x", "y", "low", "high", "words"], ...rows];
}

/** Ends of the interval of a point, and its words where these are its own. */
function endsOf({ customdata }, i) {
  const own = (customdata ?? [])[i];
  return Array.isArray(own) ? own : [null, null, own];
}

async function pictureOf(element) {
  const uri = await Plotly.toImage(element, { format: "svg", width: element.clientWidth, height: element._fullLayout.height });
  const marks = element.querySelector(":scope > .marks");
  const drawn = decodeURIComponent(uri.slice(uri.indexOf(",") + 1));
  const over = marks ? `<g font-family="sans-serif">${[...marks.children].map((part) => new XMLSerializer().serializeToString(part)).join("")}</g>` : "";
  return drawn.replace(/<\/svg>\s*$/, `${over}</svg>`);
}

/** The address with this place; it is copied where the browser allows that. */
function copyLink(id) {
  state.set("at", id);
  state.flush();
  const said = document.getElementById("said");
  const done = (words) => { said.textContent = words; setTimeout(() => { said.textContent = ""; }, 4000); };
  const failed = () => done("The address of this page is now the link.");
  if (!navigator.clipboard) failed();
  else navigator.clipboard.writeText(location.href).then(() => done("Link copied."), failed);
}

/** Every number of the page, a row a point of a line. */
function allRows() {
  const names = [...new Set(DATA.benchmarks.flatMap(({ panels }) => panels.flatMap(({ choices }) => Object.keys(choices))))];
  const rows = [["benchmark", ...names, "run", "revision", "line", "value", "ci_low", "ci_high", "words"]];
  for (const { name, panels } of DATA.benchmarks) {
    for (const { training, choices, data } of panels.filter((panel) => panel.training || panel.form === "rows")) {
      for (const trace of data.filter(({ meta }) => ["line", "hollow", "missing"].includes(meta.kind) && meta.of !== "mean")) {
        const values = (training ? trace.y : trace.x);
        values.forEach((v, i) => {
          const [low, high, words] = endsOf(trace, i);
          const revision = training ? revisionOf(trace.meta.run, (trace.meta.at)[i]) : "";
          if (v !== null) rows.push([name, ...names.map((each) => choices[each]), trace.meta.run, revision, plain(trace.name), trace.meta.kind === "missing" ? null : v, low, high, plain(words)]);
        });
      }
    }
  }
  return rows;
}

/** Buttons of the title line: a link to what is chosen, the numbers, and the figures of the page for paper. */
function mountTitleTools(holder) {
  const button = (title, says, task) => h("button", { type: "button", title: says, onclick: task }, title);
  const images = [...new DOMParser().parseFromString(document.querySelector("#glance noscript")?.textContent ?? "", "text/html").images];
  holder.append(
    button("link", "Copy a link to this view", () => copyLink(state.get("at"))),
    button("data", "Save all numbers as CSV", () => save("numbers.csv", "text/csv", csv(allRows()))));
  if (images.length) {
    holder.append(button("figures", "Save the summary for paper as SVG", () =>
      images.forEach((image, i) => h("a", { href: image.src, download: `${i ? "claims" : "summary"}.svg` }).click())));
  }
}
