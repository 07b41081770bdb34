// The bar that stays in sight: the slider over training, the x axis, seeds, and what is switched off.

function mountBar(bar) {
  if (DATA.meta.overTraining && DATA.meta.stops.length > 1) bar.append(slider());
  const row = h("div", { class: "switches" });
  bar.append(row);
  if (DATA.meta.overTraining) {
    control(row, { key: "x", label: "x axis", options: DATA.meta.axes, fallback: DATA.meta.axis });
  }
  if (hasSeeds) {
    control(row, { key: "seeds", label: "Seeds", options: [["each", "one line each"], ["mean", "mean and interval"]], fallback: "each" });
  }
  if (DATA.groups.length > 1) row.append(switches(DATA.groups.map((group, index) =>
    ({ title: group.title, pair: group.colour, runs: DATA.runs.filter((run) => run.group === index) })), "Shown"));
  const seeds = [...new Set(DATA.runs.map((run) => run.seed))].filter((seed) => seed !== null);
  if (hasSeeds && seeds.length > 1) {
    row.append(h("details", { class: "runs" }, h("summary", {}, "Seeds and runs"),
      switches(seeds.map((seed) => ({ title: `seed ${seed}`, runs: DATA.runs.filter((run) => run.seed === seed) })), "Seeds"),
      switches(DATA.runs.map((run) => ({ title: run.name, pair: run.colour, runs: [run] })), "Runs")));
  }
  bar.hidden = !bar.querySelector("select, input");
}

function slider() {
  const stops = DATA.meta.stops;
  const output = h("output", { for: "training", id: "training-at", "aria-live": "polite" });
  const input = h("input", { type: "range", id: "training", min: 0, max: stops.length - 1, step: 1,
    oninput: () => setStop(Number(input.value)) });
  const play = h("button", { type: "button", class: "play", onclick: () => (timer ? halt() : start()) }, "Play");
  let timer = 0;
  const halt = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
  const start = () => {
    if (stop() === stops.length - 1) setStop(0);
    play.textContent = "Stop";
    timer = setInterval(() => (stop() < stops.length - 1 ? setStop(stop() + 1) : halt()), Math.max(150, 6000 / stops.length));
  };
  const show = () => {
    const at = stops[stop()];
    input.value = String(stop());
    input.setAttribute("aria-valuetext", at.label);
    output.textContent = at.label + (at.at === 0 ? " (untrained)" : "");
  };
  state.watch(["t"], show);
  show();
  return h("div", { class: "slider" }, h("label", { for: "training" }, "Training"), play, input, output);
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
