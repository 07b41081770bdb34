// Benchmarks as tabs, in two sections: what is measured, and how learning proceeds, with a tab for each question. One
// benchmark of a section is in sight, and its charts are mounted when it is first chosen.

registerSection({ name: "benchmarks", title: "Benchmarks", rank: 40, applies: () => DATA.benchmarks.some((each) => !learns(each)),
  mount: (section) => mountTabs(section, "tab", DATA.benchmarks.filter((each) => !learns(each)).map((each) => ({ title: each.title, benchmarks: [each] }))) });

registerSection({ name: "learning", title: "Learning", rank: 50, applies: () => DATA.benchmarks.some(learns), mount: mountLearning });

function learns(benchmark) { return DATA.meta.overTraining && benchmark.question !== ""; }

function mountLearning(section) {
  section.append(h("p", { class: "quiet" }, "How the model came to its scores: a question on each tab, asked of all revisions together. All of it describes; nothing is tested."));
  mountTabs(section, "learning", grouped(DATA.benchmarks.filter(learns), ({ question }) => question)
    .map((benchmarks) => ({ title: benchmarks[0].question, benchmarks })));
}

const tabLists = []; // of each section: {key, tabs: [{id, tab, places}], which, show}
const tabPlaces = []; // of each benchmark: {benchmark, panel, views}

/** Tabs of one or several benchmarks each: {title, benchmarks}; `key` holds the chosen tab in the address. */
function mountTabs(section, key, entries) {
  const list = h("div", { role: "tablist", "aria-label": section.querySelector("h2").textContent, class: "tabs" });
  const bar = choiceBar();
  section.append(list);
  if (entries.some(({ benchmarks }) => benchmarks.length > 1)) section.append(bar);
  const which = control(bar, { key: `${key}.of`, label: "Asked of", options: [["", ""]] });
  const tabs = entries.map(({ title, benchmarks }) => {
    const id = benchmarks[0].anchor;
    const choose = () => state.set(key, id === entries[0].benchmarks[0].anchor ? null : id);
    const tab = h("button", { type: "button", role: "tab", id: `tab-${id}`, onclick: choose, onkeydown: (event) => moveTab(event, tabs) }, title);
    list.append(tab);
    const places = benchmarks.map((benchmark) => {
      const views = h("div", { class: "views" });
      const panel = h("section", { role: "tabpanel", id: benchmark.anchor, class: "benchmark", "aria-labelledby": tab.id },
        h("h3", { tabindex: -1 }, benchmark.title, " ", h("code", {}, benchmark.name)), views);
      section.append(panel);
      return { benchmark, panel, views };
    });
    tabPlaces.push(...places);
    return { id, tab, choose, places };
  });
  const show = () => {
    const chosen = tabs.find(({ id }) => id === state.get(key)) ?? tabs[0];
    which.update(chosen.places.map(({ benchmark }) => [benchmark.anchor, benchmark.of]));
    bar.hidden = chosen.places.length < 2;
    for (const each of tabs) {
      const inSight = each === chosen ? which.value() : each.id;
      each.tab.setAttribute("aria-controls", inSight);
      each.tab.setAttribute("aria-selected", String(each === chosen));
      each.tab.tabIndex = each === chosen ? 0 : -1;
      for (const place of each.places) {
        place.panel.hidden = each !== chosen || place.benchmark.anchor !== inSight;
        if (!place.panel.hidden) mountPanel(place);
      }
    }
  };
  tabLists.push({ key, tabs, show });
  state.watch([key, `${key}.of`], show);
  show();
}

function mountPanel({ views, benchmark }) {
  if (!views.childElementCount) mountViews(views, benchmark, "benchmarks");
}

/** Chooses the tab that hides an element; without one, those of the address. */
function showTab(element) {
  for (const { key, tabs, show } of tabLists) {
    for (const { choose, places } of element ? tabs : []) {
      const at = places.findIndex(({ panel }) => panel.contains(element));
      if (at < 0) continue;
      choose();
      state.set(`${key}.of`, at ? places[at].benchmark.anchor : null);
    }
    show();
  }
}

/** For paper: every benchmark, one after another. */
function showAllTabs() {
  for (const each of tabPlaces) {
    mountPanel(each);
    each.panel.hidden = false;
  }
}

function moveTab(event, tabs) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const at = tabs.findIndex(({ tab }) => tab === event.target);
  const next = { Home: 0, End: tabs.length - 1 }[event.key] ?? (step && (at + step + tabs.length) % tabs.length);
  if (next === undefined) return;
  event.preventDefault();
  tabs[next].choose();
  tabs[next].tab.focus();
}
