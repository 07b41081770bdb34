// The study at a glance: the metrics that their kinds put into the overview, as small charts of equal size.

function mountOverview(element) {
  const grid = h("div", { class: "multiples" });
  element.append(grid);
  DATA.overview.forEach((panel) => {
    const chart = h("div", { class: "slot" });
    const series = panel.series.map((id) => DATA.series[id]);
    const benchmark = DATA.benchmarks.find((one) => one.name === series[0].benchmark);
    grid.append(h("figure", {},
      h("figcaption", {}, h("a", { href: `#${benchmark.anchor}` }, panel.title), h("span", {}, panel.subtitle)), chart));
    live(chart, ["t", "x", "seeds", "hidden"], () => drawPanel(chart, panel, series, benchmark));
  });
}

function drawPanel(chart, panel, series, benchmark) {
  const height = 215;
  const term = benchmark.terms[series[0].metric];
  const lines = DATA.meta.overTraining ? runLines(series) : singleLines(series);
  const { constants, traces } = referenceMarks(referencesOf(series, benchmark, series[0].metric));
  const range = rangeOf(term, lines, constants, traces);
  const width = chart.clientWidth;
  if (!DATA.meta.overTraining) return drawDots(chart, lines, constants, term, { alt: alternative(panel.title, lines), small: true });
  const dense = lines.length > 6;
  return draw(chart, [...traces, ...lineTraces(lines, { width: 1.8, hide: term.hide, dense }), nowTrace(lines)], {
    ...referenceLayout(constants, range, { term, height, width, x: nowPlace(), small: true }),
    showlegend: false,
    uirevision: xAxis(),
    xaxis: { ...trainingAxis(), nticks: 6 },
    yaxis: { range, nticks: 5, type: term.log ? "log" : "linear" },
    yaxis2: FOOT,
  }, { alt: alternative(`${panel.title}, ${panel.subtitle}`, lines), height });
}
