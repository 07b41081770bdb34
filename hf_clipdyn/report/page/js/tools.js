// What a reader can take away: each chart as CSV, as SVG and as a link; all numbers as CSV; the figures as SVG.

/** A closed menu beside a chart, or beside whatever has `rows()` for its CSV; it is one stop of the Tab key. */
function mountTools(element, { rows = () => rowsOfTraces(element), picture: hasPicture = true } = {}) {
  const menu = h("details", { class: "tools" }, h("summary", { "aria-label": "Save or link this chart", title: "CSV, SVG, link" }, "⋯"));
  menu.addEventListener("toggle", () => {
    if (!menu.open || menu.childElementCount > 1) return;
    const action = (title, task) => h("button", { type: "button", onclick: () => { task(); menu.open = false; } }, title);
    menu.append(h("div", {},
      action("CSV", () => save(`${placeOf(element).id}.csv`, "text/csv", csv(rows()))),
      hasPicture ? action("SVG", async () => save(`${placeOf(element).id}.svg`, "image/svg+xml", await pictureOf(element))) : null,
      action("Link", () => copyLink(placeOf(element).id))));
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

/** What a link to a chart names: the nearest element with an id. */
function placeOf(element) { return element.parentElement.closest("[id]"); }

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

/** A text for Plotly as it was before `escape` and the breaks of lines. */
function plain(text) {
  return String(text ?? "").replace(/<br>/g, "; ").replace(/<\/?b>/g, "").replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
}

/** The points of a chart with their words: name, place, value, ends of the interval, words. */
function rowsOfTraces({ data }) {
  const rows = [["series", "x", "y", "low", "high", "words"]];
  for (const trace of data) {
    if (trace.hoverinfo === "skip") continue;
    const texts = trace.hovertext ?? trace.text ?? [];
    if (trace.type === "heatmap") {
      trace.z.forEach((row, i) => row.forEach((z, j) => rows.push([plain(trace.name), trace.x[j], trace.y[i], z, null, plain(texts[i]?.[j])])));
      continue;
    }
    const { array = [], arrayminus = array } = trace.error_y ?? {};
    trace.x.forEach((x, i) => {
      const y = trace.y[i];
      if (x == null || y == null) return;
      const [low, high] = trace.ends ? trace.ends[i] : array[i] == null ? [null, null] : [y - arrayminus[i], y + array[i]];
      rows.push([plain(trace.name), x, y, low, high, plain(texts[i])]);
    });
  }
  return rows;
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

/** Every number of the page, a row a revision. */
function allRows() {
  const names = ["benchmark", "metric", "variant", "texts", "probe", "layer", "subset", "condition", "level", "parameter", "role", "reference", "setup"];
  const rows = [["run", "revision", "epoch", "step", "samples_seen", ...names, "value", "ci_low", "ci_high", "n", "interpretable", "note"]];
  for (const series of DATA.series) {
    series.r.forEach((r, i) => rows.push([series.run.name, series.run.revisions[r], series.run.epoch[r], series.run.step[r], series.run.samples_seen[r],
      ...names.map((name) => series[name]), series.v[i], series.lo[i], series.hi[i], series.n[i], String(series.ok[i]), series.note[i]]));
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
