"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  // Plotly knows no names of the page's colours: each "var(--name)" becomes what it is now.
  const colour = (name) => {
    probe.style.color = "";
    probe.style.color = name;
    return getComputedStyle(probe).color;
  };
  const painted = (value) => {
    if (typeof value === "string") return value.startsWith("var(--") ? colour(value) : value;
    if (Array.isArray(value)) return value.map(painted);
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, painted(one)]));
    return value;
  };
  const themed = (layout) => {
    const result = painted(layout);
    const [ink, muted, line, raised] = ["ink", "muted", "line", "raised"].map((name) => colour(`var(--${name})`));
    const family = getComputedStyle(document.body).fontFamily;
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: muted, tickfont: { color: muted } };
    result.paper_bgcolor = result.plot_bgcolor = "rgba(0,0,0,0)";
    result.font = { family, size: 13, color: ink };
    result.hoverlabel = { bgcolor: raised, bordercolor: line, font: { family, color: ink } };
    result.separators = ".,";
    for (const key of Object.keys(result).filter((name) => /^[xy]axis/.test(name)))
      result[key] = { ...axis, ...result[key] };
    return result;
  };
  const charts = new Map();
  const draw = (element, figure) => {
    charts.set(element, figure);
    return Plotly.react(element, painted(figure.data), themed(figure.layout), {
      displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false,
    });
  };
  const redraw = () => {
    for (const [element, figure] of charts) draw(element, figure);
  };

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const show = () => {
    button.setAttribute("aria-pressed", String(isDark()));
    redraw();
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    show();
  });
  dark.addEventListener("change", show);

  for (const element of document.querySelectorAll("[data-chart]"))
    draw(element, data.charts[element.dataset.chart]);
  show();
  window.page = { data, draw };
})();
