// The last file: mounts everything, follows links, and prepares the page for paper.

let landed = null; // where a link scrolled to: its goal stays the place, also where the page ends

document.documentElement.classList.add("drawn");
mountChoices();
mountTools();
const MOUNTS = {
  ".slider": mountSlider,
  "#bar [data-runs]": mountSwitch,
  "#overview figure[id]": mountGlance,
  "table.models": mountModels,
  "#changed": mountChanged,
  "[data-view=stimuli]": mountStimuli,
  "#scatter-chart": mountScatter,
};
for (const [place, mount] of Object.entries(MOUNTS)) document.querySelectorAll(place).forEach((part) => mount(part));
VIEWS.forEach(mountView);
mountLinks();

// Brings a place into sight: opens what hides it, and stays there while charts above it are drawn.
function goTo(goal) {
  const part = goal.closest("[data-of][hidden]");
  if (part) {
    state.set(part.dataset.of, part.dataset.option);
    part.hidden = false;
  }
  for (let fold = goal.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  const watcher = new ResizeObserver(() => {
    goal.scrollIntoView({ behavior: "instant" });
    landed = scrollY;
  });
  watcher.observe(document.body);
  const leave = () => watcher.disconnect();
  setTimeout(leave, 1500); // a slow machine draws its charts for a second
  for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    addEventListener(kind, leave, { once: true, passive: true });
  }
}

// The page goes where its address says, and the address keeps the place in sight.
function mountLinks() {
  const asked = () => {
    const goal = document.getElementById(state.get("at", ""));
    if (goal) goTo(goal);
  };
  addEventListener("hashchange", asked);
  asked();
  let resting = 0;
  addEventListener("scroll", () => {
    clearTimeout(resting);
    resting = setTimeout(() => { if (scrollY !== landed) state.set("at", placeInSight()); }, 250);
  }, { passive: true });
}

// The last section, fold or view above the upper third of the screen; null at the top of the page.
function placeInSight() {
  const places = document.querySelectorAll("main :is(section, .fold, .view, figure)[id]");
  const above = (place) => place.offsetParent && place.getBoundingClientRect().top <= innerHeight / 3;
  return scrollY < 40 ? null : [...places].findLast(above)?.id ?? null;
}

let unfolded = [];
addEventListener("beforeprint", () => setPaper(true));
addEventListener("afterprint", () => setPaper(false));

// Paper is white and has every benchmark and fold.
function setPaper(on) {
  printing = on;
  document.documentElement.classList.toggle("printing", on);
  if (on) unfolded = document.querySelectorAll(".fold:not([open])");
  for (const fold of unfolded) fold.open = on;
  if (on || dark.matches) everyLive.forEach((show) => show(dark.matches));
}
