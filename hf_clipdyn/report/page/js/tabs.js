// The benchmarks as tabs: one is in sight, and its charts are mounted when it is first chosen.

registerSection({ name: "benchmarks", title: "Benchmarks", rank: 40, applies: () => DATA.benchmarks.length > 0, mount: mountTabs });

const tabs = [];

function mountTabs(section) {
  const list = h("div", { role: "tablist", "aria-label": "Benchmarks", class: "tabs" });
  section.append(list);
  for (const benchmark of DATA.benchmarks) {
    const tab = h("button", { type: "button", role: "tab", id: `tab-${benchmark.anchor}`, "aria-controls": benchmark.anchor,
      onclick: () => state.set("tab", benchmark.anchor), onkeydown: moveTab }, benchmark.title);
    const views = h("div", { class: "views" });
    const panel = h("section", { role: "tabpanel", id: benchmark.anchor, class: "benchmark", "aria-labelledby": tab.id },
      h("h3", { tabindex: -1 }, benchmark.title, " ", h("code", {}, benchmark.name)), views);
    tabs.push({ benchmark, tab, panel, views });
    list.append(tab);
    section.append(panel);
  }
  state.watch(["tab"], showTabs);
  showTabs();
}

function chosenTab() {
  return tabs.find(({ benchmark }) => benchmark.anchor === state.get("tab")) ?? tabs[0];
}

function showTabs() {
  const chosen = chosenTab();
  mountPanel(chosen);
  for (const each of tabs) {
    each.panel.hidden = each !== chosen;
    each.tab.setAttribute("aria-selected", String(each === chosen));
    each.tab.tabIndex = each === chosen ? 0 : -1;
  }
}

function mountPanel({ views, benchmark }) {
  if (!views.childElementCount) mountViews(views, benchmark, "benchmarks");
}

/** Chooses the tab that hides an element; without one, that of the address. */
function showTab(element) {
  const hiding = element && tabs.find(({ panel }) => panel.contains(element));
  if (hiding) state.set("tab", hiding === tabs[0] ? null : hiding.benchmark.anchor);
  showTabs();
}

/** For paper: every benchmark, one after another. */
function showAllTabs() {
  for (const each of tabs) {
    mountPanel(each);
    each.panel.hidden = false;
  }
}

function moveTab(event) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const at = tabs.findIndex(({ tab }) => tab === event.target);
  const next = { Home: 0, End: tabs.length - 1 }[event.key] ?? (step && (at + step + tabs.length) % tabs.length);
  if (next === undefined) return;
  event.preventDefault();
  state.set("tab", next ? tabs[next].benchmark.anchor : null);
  tabs[next].tab.focus();
}
