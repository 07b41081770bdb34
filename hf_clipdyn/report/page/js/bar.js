// The bar that stays in sight: the slider over training, the x axis, seeds, and what is switched off.

function mountBar(bar) {
  if (DATA.meta.overTraining && DATA.meta.stops.length > 1) bar.append(slider());
  const row = h("div", { class: "switches", id: "settings" });
  if (DATA.meta.overTraining) {
    control(row, { key: "x", label: "x axis", options: DATA.meta.axes, fallback: DATA.meta.axis });
  }
  if (hasSeeds) {
    control(row, { key: "seeds", label: "Seeds", options: [["mean", "mean and interval"], ["each", "one line each"]], fallback: "mean" });
  }
  if (DATA.groups.length > 1) row.append(switches(DATA.groups.map((group, index) =>
    ({ title: group.title, pair: group.colour, runs: DATA.runs.filter((run) => run.group === index) })), "Shown"));
  const seeds = [...new Set(DATA.runs.map((run) => run.seed))].filter((seed) => seed !== null);
  if (hasSeeds && seeds.length > 1) {
    row.append(switches(seeds.map((seed) => ({ title: `seed ${seed}`, runs: DATA.runs.filter((run) => run.seed === seed) })), "Seeds"),
      h("details", {}, h("summary", {}, "Single runs"), switches(DATA.runs.map((run) => ({ title: run.name, pair: run.colour, runs: [run] })), "Runs")));
  }
  if (row.querySelector("select:not([hidden]), input")) bar.append(h("button", { type: "button", class: "more", "aria-expanded": "false", "aria-controls": "settings",
    onclick: (event) => event.target.setAttribute("aria-expanded", String(row.classList.toggle("open"))) }, "Axes and runs"), row);
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !row.classList.contains("open")) return;
    bar.querySelector(".more").click();
    bar.querySelector(".more").focus();
  });
  bar.hidden = !bar.childElementCount;
}

function slider() {
  const stops = DATA.meta.stops;
  const output = h("output", { for: "training", id: "training-at", "aria-live": "polite" });
  const input = h("input", { type: "range", id: "training", min: 0, max: stops.length - 1, step: 1,
    oninput: () => setStop(Number(input.value)) });
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
    const at = stops[stop()];
    input.value = String(stop());
    input.setAttribute("aria-valuetext", at.label);
    const [, unit, place] = /^(.*) (\S+)$/.exec(at.label);
    output.replaceChildren(h("span", {}, `${unit} `), place + (at.at === 0 ? " (untrained)" : ""));
  };
  state.watch(["t"], show);
  show();
  return h("div", { class: "slider" }, play, h("label", { for: "training" }, "Training"), input, output);
}

/** Checkboxes that switch runs on and off. */
function switches(entries, legend) {
  const boxes = entries.map(({ title, pair, runs }) => {
    const swatch = pair ? h("i", { class: "swatch" }) : null;
    const box = h("input", { type: "checkbox", onchange: () => showRuns(runs, box.checked) });
    const show = () => {
      const off = hiddenNames();
      box.checked = runs.some((run) => !off.has(run.name));
      box.indeterminate = box.checked && runs.some((run) => off.has(run.name));
      if (swatch) swatch.style.background = tone(pair);
    };
    state.watch(["hidden"], show);
    show();
    return h("label", { class: "switch" }, box, swatch, h("span", {}, title));
  });
  return h("fieldset", {}, h("legend", {}, legend), boxes);
}
