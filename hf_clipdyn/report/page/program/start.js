// The last file: mounts everything, follows links, and prepares the page for paper.

let landed = null; // where a link scrolled to: its goal stays the place, also where the page ends

document.documentElement.classList.add("drawn");
mountChoices();
mountTools();
mountBar();
mountGlance();
document.querySelectorAll("[data-view=stimuli]").forEach(mountStimuli);
document.querySelectorAll("#changed").forEach(mountChanged);
VIEWS.forEach(mountView);
mountScatter();
mountLinks();

// Brings a place into sight: opens what hides it, and stays there while charts above it are drawn.
function goTo(goal) {
  const part = goal.closest("[data-of][hidden]");
  if (part) {
    state.set(part.dataset.of, part.dataset.option);
    part.hidden = false;
  }
  for (let fold = goal.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    fold.open = true;
  }
  const watcher = new ResizeObserver(() => {
    goal.scrollIntoView({ behavior: "instant" });
    landed = scrollY;
  });
  watcher.observe(document.body);
  const leave = () => watcher.disconnect();
  setTimeout(leave, 700);
  for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) {
    addEventListener(kind, leave, { once: true, passive: true });
  }
}

// Links within the page scroll, and leave the choices in the address alone; the address also keeps the place.
function mountLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const goal = link && document.getElementById(link.hash.slice(1));
    if (!goal) return;
    event.preventDefault();
    state.set("at", goal.id);
    goTo(goal);
    (goal.querySelector(":scope > h2, :scope > h3, :scope > summary") ?? goal).focus({ preventScroll: true });
  });
  const asked = () => {
    const goal = document.getElementById(state.get("at", ""));
    if (goal) goTo(goal);
  };
  addEventListener("hashchange", asked);
  asked();
  addEventListener("scrollend", () => { if (scrollY !== landed) state.set("at", placeInSight()); });
}

// The last section, fold or view above the upper third of the screen; null at the top of the page.
function placeInSight() {
  const places = document.querySelectorAll("main :is(section, .fold, .view, figure)[id]");
  const above = (place) => place.offsetParent && place.getBoundingClientRect().top <= innerHeight / 3;
  return scrollY < 40 ? null : [...places].findLast(above)?.id ?? null;
}

addEventListener("beforeprint", () => setPaper(true));
addEventListener("afterprint", () => setPaper(false));

// Paper is white and has every benchmark and fold.
function setPaper(on) {
  printing = on;
  document.documentElement.classList.toggle("printing", on);
  for (const fold of document.querySelectorAll(on ? ".fold:not([open])" : ".fold.printed")) {
    fold.classList.toggle("printed", on);
    fold.open = on;
  }
  if (on || dark.matches) everyLive.forEach((show) => show(dark.matches));
}
