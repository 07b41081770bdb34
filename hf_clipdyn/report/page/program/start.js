// The last file: mounts everything, follows links, and prepares the page for paper.

let landed = null; // where a link scrolled to: its goal stays the place, also where the page ends

document.documentElement.classList.add("drawn");
mountTitleTools(document.getElementById("take"));
mountBar(document.getElementById("bar"));
mountGlance(document.getElementById("overview"));
mountSections(document.getElementById("sections"));
mountFolds(document.getElementById("folds"));
mountLinks();

function mountSections(holder) {
  const evidence = document.querySelector('nav a[href="#evidence"]').parentElement;
  for (const { name, title, mount } of sections.filter(({ applies }) => applies()).sort((a, b) => a.rank - b.rank)) {
    const section = h("section", { id: name }, h("h2", { tabindex: -1 }, title));
    holder.append(section);
    evidence.before(h("li", {}, h("a", { href: `#${name}` }, title)));
    mount(section);
  }
}

/** Brings a place into sight: opens what hides it, and stays there while charts above it are drawn. */
function goTo(goal) {
  for (const { panel, choose, show } of tabs) {
    if (!panel.contains(goal)) continue;
    choose();
    show();
  }
  for (let fold = goal.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  goal.scrollIntoView({ behavior: "instant" });
  const wanted_ = goal.getBoundingClientRect().top;
  let left = 40; // frames
  const stay = () => {
    const moved = goal.getBoundingClientRect().top - wanted_;
    if (Math.abs(moved) > 1) scrollBy({ top: moved, behavior: "instant" });
    landed = scrollY;
    if ((left -= 1) > 0) requestAnimationFrame(stay);
  };
  for (const kind of ["wheel", "touchstart", "keydown", "pointerdown"]) addEventListener(kind, () => { left = 0; }, { once: true, passive: true });
  stay();
}

/** The place with an id, also in a part of the page that was never opened; null if there is none. */
function findPlace(id) {
  const known = document.getElementById(id);
  if (known) return known;
  tabs.forEach(({ mount }) => mount());
  for (const fold of document.querySelectorAll("#folds details")) fold.dispatchEvent(new Event("mount"));
  return document.getElementById(id);
}

/** Links within the page scroll, and leave the choices in the address alone; the address also keeps the place. */
function mountLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const goal = link && findPlace(link.getAttribute("href").slice(1));
    if (!goal) return;
    event.preventDefault();
    state.set("at", goal.id);
    goTo(goal);
    (goal.querySelector(":scope > h2, :scope > h3, :scope > summary") ?? goal).focus({ preventScroll: true });
  });
  const asked = () => {
    const goal = state.get("at") && findPlace(state.get("at"));
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

/** The last section, fold or view above the upper third of the screen; null at the top of the page. */
function placeInSight() {
  if (scrollY < 40) return null;
  const places = [...document.querySelectorAll("main section, main .fold, main .view, main figure[id]")].filter((each) => each.id && each.offsetParent !== null);
  return places.findLast((each) => each.getBoundingClientRect().top <= innerHeight / 3)?.id ?? null;
}

addEventListener("beforeprint", () => {
  printing = true;
  tabs.forEach(({ mount, panel }) => { mount(); panel.hidden = false; });
  for (const fold of document.querySelectorAll("details.fold")) {
    fold.dataset.closed = fold.open ? "" : "yes";
    fold.open = true;
    fold.dispatchEvent(new Event("mount"));
  }
  everyLive.forEach((show) => show(dark.matches));
});

addEventListener("afterprint", () => {
  printing = false;
  tabs.forEach(({ show }) => show());
  for (const fold of document.querySelectorAll('details.fold[data-closed="yes"]')) fold.open = false;
  if (dark.matches) everyLive.forEach((show) => show(true));
});

markDrawn();

/** For measurements: a mark in the browser's timeline when the charts that are in sight at first are drawn. */
function markDrawn() {
  const waiting = [...document.querySelectorAll("#overview .slot")].filter((slot) => slot.getBoundingClientRect().top < innerHeight && !slot.classList.contains("chart"));
  if (waiting.length) requestAnimationFrame(markDrawn);
  else performance.mark("charts");
}
