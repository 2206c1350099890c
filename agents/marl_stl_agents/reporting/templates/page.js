"use strict";
(() => {
  // Names of users: control and bidirectional characters are shown as escapes.
  const UNSAFE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
  const escaped = (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const printable = (_, value) => (typeof value === "string" ? value.replace(UNSAFE, escaped) : value);
  const data = JSON.parse(document.getElementById("data").textContent, printable);
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
  // Plotly reads every text as HTML of a kind, so all but our own templates is escaped.
  const TEMPLATES = new Set(["hovertemplate", "texttemplate"]);
  const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
  const painted = (value, name = "") => {
    if (typeof value === "string") {
      if (value.startsWith("var(--")) return colour(value);
      return TEMPLATES.has(name) ? value : value.replace(/[&<>]/g, (one) => ENTITIES[one]);
    }
    if (Array.isArray(value)) return value.map((one) => painted(one, name));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, painted(one, key)]));
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

  for (const element of document.querySelectorAll("[data-chart]")) {
    const figure = data.charts[element.dataset.chart];
    element.style.minHeight = `${figure.layout.height}px`;
    draw(element, figure);
  }
  show();
  window.page = { data, draw };
})();
