// The last file: mounts everything. Views wait until their section comes near.

document.documentElement.classList.add("drawn");
mountBar(document.getElementById("bar"));
mountOverview(document.getElementById("overview"));
mountTops(document.getElementById("tops"));
DATA.benchmarks.forEach(mountSection);
mountLinks();

function byRank(a, b) { return a.rank - b.rank || (a.name < b.name ? -1 : 1); }

function mountTops(holder) {
  for (const top of tops.sort(byRank)) {
    const section = h("section", { id: `top-${top.name}` }, top.title ? h("h2", {}, top.title) : null);
    holder.append(section);
    top.mount(section);
  }
}

function mountSection(benchmark) {
  const holder = document.getElementById(benchmark.anchor).querySelector(".views");
  for (const view of [...views].sort(byRank).filter((one) => one.applies(benchmark))) {
    const place = h("div", { class: view.wide ? "view wide" : "view", "data-view": view.name },
      view.title ? h("h3", {}, view.title) : null);
    holder.append(place);
    once(place, () => view.mount(place, benchmark));
  }
}

/** Do something when an element first comes near. */
function once(element, task) {
  let done = false;
  const observer = new IntersectionObserver((entries) => { if (entries.some((one) => one.isIntersecting)) go(); }, { rootMargin: "600px" });
  const go = () => {
    if (done) return;
    done = true;
    observer.disconnect();
    element.classList.add("mounted");
    task();
  };
  observer.observe(element);
  addEventListener("beforeprint", go);
}

/** Links within the page scroll, and leave the state in the address alone. */
function mountLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    const goal = link && document.getElementById(link.getAttribute("href").slice(1));
    if (!goal) return;
    event.preventDefault();
    state.set("at", goal.id);
    goal.scrollIntoView();
    goal.querySelector("h2")?.focus({ preventScroll: true });
  });
  const at = state.get("at");
  if (at) document.getElementById(at)?.scrollIntoView();
}

markDrawn();

/** For measurements: a mark in the browser's timeline when the charts that are in sight at first are drawn. */
function markDrawn() {
  const waiting = [...document.querySelectorAll("#overview .slot")]
    .filter((slot) => slot.getBoundingClientRect().top < innerHeight && !slot.classList.contains("chart"));
  if (waiting.length) requestAnimationFrame(markDrawn);
  else performance.mark("charts");
}
