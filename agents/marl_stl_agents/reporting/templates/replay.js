"use strict";
(() => {
  const { data, draw } = window.page;
  const replay = data.replay;
  const STOPS = new Set(["Block", "Quarantine"]);
  const TOP = 3;
  const find = (id) => document.getElementById(id);
  const make = (tag, content = "", cls = "") => {
    const element = document.createElement(tag);
    if (cls) element.className = cls;
    element.append(...[content].flat());
    return element;
  };
  const shown = (value, digits = 2) =>
    value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−");
  const signed = (value) => (value > 0 ? "+" : "") + shown(value);

  let episode = replay.episodes[0];
  let totals = [];
  let at = 0;
  let timer = null;

  const action = (code) => (code < 0 ? "silent" : replay.actions[code]);
  const stops = (code) => STOPS.has(action(code));
  const outcome = (step) => {
    const stopped = stops(episode.decision[step]);
    if (episode.threat[step]) return stopped ? "tp" : "fn";
    return stopped ? "fp" : "tn";
  };
  const WORDS = { tp: "threat stopped", fn: "threat missed", fp: "benign event stopped", tn: "benign event let pass" };

  const cards = replay.sensors.map((sensor, number) => {
    const vote = make("span", "", "vote");
    const fill = make("i");
    const belief = make("p", "", "belief");
    const top = make("ul", "", "seen");
    const all = make("ul", "", "seen");
    all.tabIndex = 0;
    all.setAttribute("aria-label", `All features of ${sensor.name}`);
    const summary = make("summary", [`All ${sensor.columns.length} features`, make("span", ` of ${sensor.name}`, "unseen")]);
    const more = make("details", [summary, all]);
    const card = make("article", [
      make("h3", [sensor.name, vote]),
      make("p", `views: ${sensor.views.join(", ")}`, "views"),
      make("div", fill, "meter"), belief, top, more,
    ], "card");
    const update = (step) => {
      const code = episode.actions[step][number];
      const threat = episode.probabilities[step][number];
      vote.textContent = action(code);
      vote.className = `vote ${stops(code) ? "threat" : "benign"}`;
      fill.style.width = `${100 * threat}%`;
      const proposed = episode.proposals.length ? `; proposed ${action(episode.proposals[step][number])}` : "";
      belief.textContent = `threat with probability ${shown(threat, 3)}${proposed}`;
      const seen = sensor.columns.map((column) => [replay.features[column], episode.features[step][column]]);
      seen.sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
      top.replaceChildren(...seen.slice(0, TOP).map(feature));
      if (more.open) all.replaceChildren(...seen.map(feature));
    };
    more.addEventListener("toggle", () => update(at));
    find("cards").append(card);
    return update;
  });
  function feature([name, value]) {
    const bar = make("i", "", value > 0 ? "up" : "");
    const width = 50 * Math.min(1, Math.abs(value) / 5);
    bar.style.width = `${width}%`;
    bar.style.left = `${value > 0 ? 50 : 50 - width}%`;
    const label = make("span", name);
    label.title = name;
    return make("li", [label, make("span", bar, "size"), make("span", shown(value))]);
  }

  const cursor = (step) => [{
    type: "line", xref: "x", yref: "paper", x0: step, x1: step, y0: 0, y1: 1,
    line: { color: "var(--ink)", width: 1 },
  }];
  const axis = (text) => ({ title: { text, standoff: 6, font: { size: 13 } }, fixedrange: true, zeroline: true, automargin: true });
  const layout = (step, title, more = {}) => ({
    height: 220, margin: { l: 8, r: 8, t: 8, b: 8 }, dragmode: false, showlegend: false,
    xaxis: { ...axis("event"), zeroline: false }, yaxis: { ...axis(title), ...more }, shapes: cursor(step),
  });
  const drawLines = (step) => {
    const x = totals.map((_, number) => number + 1);
    const line = { x, y: totals, mode: "lines", line: { color: "var(--team)", width: 2 }, hovertemplate: "event %{x}: %{y:.2f}<extra></extra>" };
    draw(find("reward-so-far"), { data: [line], layout: layout(step + 1, "reward") });
    if (!replay.specs.length) return;
    const lines = replay.specs.map((name, number) => ({
      x, y: episode.left.map((left) => left[number]), name, mode: "lines",
      line: { color: `var(--series-${number % 8})`, width: 2 },
      hovertemplate: "%{fullData.name}, event %{x}: %{y:.2f}<extra></extra>",
    }));
    const legend = { showlegend: true, legend: { orientation: "h", yanchor: "bottom", y: 1, x: 0 }, height: 300 };
    draw(find("specifications-so-far"), { data: lines, layout: { ...layout(step + 1, "margin", { range: [-1.08, 1.08] }), ...legend } });
  };

  const facts = (step) => {
    const parts = [];
    if (episode.isolated[step]) parts.push("Contained without a vote: its entity is isolated.");
    if (episode.granted[step]) parts.push("The alert was within the analyst's budget.");
    const shared = replay.shared.map((name, number) => `${name.replaceAll("_", " ")} ${shown(episode.shared[step][number])}`);
    if (shared.length) parts.push(`Shared context: ${shared.join(", ")}.`);
    return parts.join(" ");
  };
  const showStatus = (step) => {
    if (!replay.specs.length) return;
    find("spec-status").replaceChildren(...replay.specs.map((name, number) => {
      const least = episode.robustness[step][number];
      const words = least === null ? "not yet evaluated" : `least robustness so far ${shown(least)}${least < 0 ? ", violated" : ""}`;
      return make("li", `${name}: ${words}`, least !== null && least < 0 ? "violated" : "");
    }));
  };

  const show = (step) => {
    at = Math.max(0, Math.min(step, totals.length - 1));
    const kind = outcome(at);
    const truth = episode.threat[at] ? `threat (${replay.families[episode.family[at]]})` : `benign (${replay.families[episode.family[at]]})`;
    const count = episode.actions[at].filter(stops).length;
    const entity = episode.entity.length ? `, entity ${episode.entity[at]}` : "";
    find("scrub").value = at;
    find("scrub").setAttribute("aria-valuetext", `Event ${at + 1} of ${totals.length}: ${truth}, ${action(episode.decision[at])}, ${WORDS[kind]}`);
    find("count").textContent = `Event ${at + 1} of ${totals.length}${entity}`;
    find("truth").textContent = truth;
    find("outcome").textContent = WORDS[kind][0].toUpperCase() + WORDS[kind].slice(1);
    find("decision").textContent = action(episode.decision[at]);
    find("votes").textContent = replay.weighed ? `${count} of ${cards.length}, weighed by label feedback` : `${count} of ${cards.length}; ${replay.threshold} needed`;
    find("event-reward").textContent = signed(episode.reward[at]);
    find("total").textContent = signed(totals[at]);
    find("mean").textContent = signed(totals[at] / (at + 1));
    find("context").textContent = facts(at);
    find("event").className = `event ${kind === "tp" || kind === "tn" ? "right" : "wrong"}`;
    find("strip").querySelector(".now").setAttribute("x", at + 0.5 - totals.length / 400);
    cards.forEach((update) => update(at));
    showStatus(at);
    drawLines(at);
  };

  const NAMESPACE = "http://www.w3.org/2000/svg";
  const bar = (cls, x, y, width, height) => {
    const mark = document.createElementNS(NAMESPACE, "rect");
    Object.entries({ class: cls, x, y, width, height }).forEach(([key, value]) => mark.setAttribute(key, value));
    return mark;
  };
  const open = (number) => {
    episode = replay.episodes[number];
    totals = [];
    episode.reward.reduce((sum, reward) => (totals.push(sum + reward), sum + reward), 0);
    const events = totals.length;
    const marks = totals.map((_, step) => outcome(step)).map((kind, step) =>
      kind === "tn" ? null : bar(kind, step, kind === "fp" ? 6 : 2, 0.9, kind === "fp" ? 4 : 8));
    const strip = find("strip");
    strip.setAttribute("viewBox", `0 0 ${events} 12`);
    strip.replaceChildren(...marks.filter(Boolean), bar("now", 0, 0, events / 200, 12));
    find("scrub").max = events - 1;
    fillTable();
    show(0);
  };
  const fillTable = () => {
    if (!find("events").open) return;
    const titles = ["event", "truth", "family", "decision", "threat votes", "reward", "so far", ...replay.specs];
    const cell = (text, number) => {
      const element = make(number ? "td" : "th", text);
      if (!number) element.scope = "row";
      return element;
    };
    const rows = totals.map((total, step) => make("tr", [
      String(step + 1), episode.threat[step] ? "threat" : "benign", replay.families[episode.family[step]],
      action(episode.decision[step]), String(episode.actions[step].filter(stops).length),
      signed(episode.reward[step]), signed(total), ...replay.specs.map((_, number) => shown(episode.left[step][number])),
    ].map(cell)));
    const head = make("tr", titles.map((title) => Object.assign(make("th", title), { scope: "col" })));
    find("event-table").replaceChildren(make("thead", head), make("tbody", rows));
  };

  const playing = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(() => (at + 1 < totals.length ? show(at + 1) : playing(false)), Number(find("speed").value)) : null;
    find("play").textContent = on ? "Pause" : "Play";
    find("play").setAttribute("aria-pressed", String(on));
    find("outcome").setAttribute("aria-live", on ? "off" : "polite");
  };
  const seek = (wanted) => {
    const order = totals.map((_, step) => (at + 1 + step) % totals.length);
    const step = order.find(wanted);
    if (step !== undefined) show(step);
  };
  find("episode").addEventListener("change", (event) => { playing(false); open(Number(event.target.value)); });
  find("scrub").addEventListener("input", (event) => { playing(false); show(Number(event.target.value)); });
  find("scrub").addEventListener("keydown", (event) => {
    if (event.key === " ") { event.preventDefault(); playing(!timer); }
  });
  find("play").addEventListener("click", () => playing(!timer));
  find("speed").addEventListener("change", () => { if (timer) playing(true); });
  find("back").addEventListener("click", () => { playing(false); show(at - 1); });
  find("forth").addEventListener("click", () => { playing(false); show(at + 1); });
  find("next-threat").addEventListener("click", () => { playing(false); seek((step) => episode.threat[step]); });
  find("next-error").addEventListener("click", () => { playing(false); seek((step) => ["fn", "fp"].includes(outcome(step))); });
  find("events").addEventListener("toggle", fillTable);
  open(0);
})();
