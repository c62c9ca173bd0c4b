/** What only several runs have: a table to sort, means with intervals, parallel coordinates, a heat map. */

const keyOf = (run, key) => run.keys[key] ?? run.keys[`${key}.name`] ?? "–";
const isNumber = (text) => text !== "" && Number.isFinite(Number(text));
const number = (name) => data.numbers[name] ?? { kind: "plain", unit: "", better: "neither", about: "" };
const arrow = (name) => ({ higher: " ↑", lower: " ↓" })[number(name).better] ?? "";

/** Numbers by size and before words. */
function order(a, b) {
  if (isNumber(a) && isNumber(b)) return Number(a) - Number(b);
  return isNumber(b) - isNumber(a) || String(a).localeCompare(String(b));
}

/** The numbers of the last line: those that are shown first, or all of them. */
function metricsOf(runs, all = false) {
  const names = unique(runs.flatMap((run) => Object.keys(run.last)));
  const leads = names.filter((name) => number(name).lead);
  const probes = leads.filter((name) => number(name).group === "probe");
  return all || !leads.length ? names : unique([...probes, ...leads]);
}

/** The best of some values by the declared direction; undefined where there is none. */
function best(name, values) {
  const known = values.filter(finite);
  if (!known.length || !["higher", "lower"].includes(number(name).better)) return undefined;
  return known.reduce(number(name).better === "higher" ? (a, b) => Math.max(a, b) : (a, b) => Math.min(a, b));
}

function choice(label, options, chosen, onchange) {
  const select = el("select", { onchange: () => onchange(select.value) });
  select.append(...options.map((o) => el("option", { value: o, selected: o === chosen }, o)));
  return el("label", {}, label, select);
}

/** A part that is drawn anew by `draw(state)` whenever one of its `controls(state, redraw)` changes. */
function part(title, state, controls, draw) {
  const body = el("div");
  const redraw = () => body.replaceChildren(...[draw(state)].flat());
  redraw();
  const set = (name) => (value) => {
    state[name] = value;
    redraw();
  };
  return el("section", {}, el("h3", {}, title), el("div", { class: "controls" }, controls(state, set)), body);
}

function runTable(runs) {
  const state = { sort: null, up: true, all: false, find: "" };
  const columns = () => [
    { name: "run", text: (run) => run.name },
    { name: "status", text: (run) => run.status },
    ...data.axes.map((key) => ({ name: key, text: (run) => keyOf(run, key) })),
    ...metricsOf(runs, state.all).map((name) => ({ name, metric: true, text: (run) => run.last[name] })),
  ];
  const draw = () => {
    const all = columns();
    const has = (run) => all.some((c) => String(c.text(run)).includes(state.find));
    const rows = state.find ? runs.filter(has) : [...runs];
    const by = all.find((c) => c.name === state.sort);
    const compare = (a, b) => {
      const [x, y] = [by.text(a), by.text(b)];
      // Runs without the number stay last, whichever way it goes.
      if (by.metric && (!finite(x) || !finite(y))) return finite(y) - finite(x);
      return (by.metric ? x - y : order(x, y)) * (state.up ? 1 : -1);
    };
    if (by) rows.sort(compare);
    const tops = new Map(all.filter((c) => c.metric).map((c) => [c.name, best(c.name, runs.map(c.text))]));
    const head = all.map((c) => {
      const click = () => {
        const first = number(c.name).better !== "higher";
        [state.up, state.sort] = [state.sort === c.name ? !state.up : first, c.name];
        redraw();
      };
      const sorted = state.sort === c.name ? (state.up ? "ascending" : "descending") : "none";
      const label = c.name + (c.metric ? arrow(c.name) : "");
      const title = c.metric ? number(c.name).about : null;
      const mark = { none: "", ascending: " ▲", descending: " ▼" }[sorted];
      return el(
        "th",
        { class: c.metric && "number", "aria-sort": sorted },
        el("button", { onclick: click, title }, label + mark),
      );
    });
    const cell = (c, run) => {
      const value = c.text(run);
      if (!c.metric) return el("td", {}, String(value));
      const top = finite(value) && value === tops.get(c.name);
      return el("td", { class: `number${top ? " best" : ""}` }, shown(value, number(c.name).kind));
    };
    const body = rows.map((run) => el("tr", {}, ...all.map((c) => cell(c, run))));
    return el(
      "div",
      { class: "scroll" },
      el("table", { id: "runs" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)),
    );
  };
  const holder = el("div");
  const redraw = () => holder.replaceChildren(draw());
  redraw();
  const find = el("input", { type: "search", placeholder: "find", "aria-label": "find runs" });
  find.addEventListener("input", () => ((state.find = find.value), redraw()));
  const every = el("input", { type: "checkbox", onchange: () => ((state.all = every.checked), redraw()) });
  return el("section", {}, el("div", { class: "controls" }, find, el("label", {}, every, "all numbers")), holder);
}

/** Means over repeats with their 95 % intervals, against one key; a line for each setting of the other keys. */
function intervals(runs, { by, metrics, rows }) {
  const isAxis = (key) => data.axes.includes(key) || data.axes.includes(`${key}.name`);
  const isWide = (key) => {
    const values = rows.map((row) => Number(row.values[by.indexOf(key)]));
    return values.every((v) => v > 0) && Math.max(...values) >= 50 * Math.min(...values);
  };
  const draw = ({ metric, key, logX, logY }) => {
    const place = by.indexOf(key);
    const points = rows.filter((row) => finite(row.metrics[metric]?.mean));
    const values = unique(points.map((row) => row.values[place])).sort(order);
    const numeric = values.length > 0 && values.every(isNumber);
    const rest = (row) =>
      by
        .map((k, i) => (i === place || !isAxis(k) ? null : `${k}=${row.values[i]}`))
        .filter(Boolean)
        .join(", ");
    const names = unique(points.map(rest));
    const x = (row) => (numeric ? Number(row.values[place]) : values.indexOf(row.values[place]));
    const ends = (row) => [row.metrics[metric].ci_low, row.metrics[metric].ci_high];
    const ys = points.flatMap((row) => [row.metrics[metric].mean, ...ends(row)]);
    const label = { xLabel: key, names: numeric ? null : values, size: [640, 320] };
    const plot = axes({ xs: points.map(x), ys, log: [logX && numeric, logY], ...label });
    names.forEach((name, i) => {
      const own = points.filter((row) => rest(row) === name).sort((a, b) => x(a) - x(b));
      const spot = (row) => [plot.x(x(row)), plot.y(row.metrics[metric].mean)];
      plot.area.append(svg("path", { class: "curve", stroke: colour(i), d: path(own.map(spot)) }));
      for (const row of own) {
        const [[cx, cy], { mean, n }] = [spot(row), row.metrics[metric]];
        if (!Number.isFinite(cx + cy)) continue;
        const [low, high] = ends(row).map(plot.y);
        if (Number.isFinite(low + high))
          plot.area.append(svg("line", { x1: cx, x2: cx, y1: low, y2: high, stroke: colour(i) }));
        const said = `${name ? `${name}, ` : ""}${key}=${row.values[place]}: ${shown(mean)} (n = ${n})`;
        plot.area.append(svg("circle", { cx, cy, r: 4, fill: colour(i) }, svg("title", {}, said)));
      }
    });
    const keyed = names.filter(Boolean).map((name, i) => el("label", {}, swatch(colour(i)), name));
    return [plot.root, el("div", { class: "legend" }, ...keyed)];
  };
  const spread = by.find((k, i) => isAxis(k) && unique(rows.map((r) => r.values[i])).every(isNumber)) ?? by[0];
  const state = {
    metric: metricsOf(runs).find((name) => metrics.includes(name)) ?? metrics[0],
    key: spread,
    logX: isWide(spread),
    logY: false,
  };
  const controls = (s, set) => [
    choice("number", metrics, s.metric, set("metric")),
    choice(
      "against",
      by.filter((k) => isAxis(k) || k === s.key),
      s.key,
      set("key"),
    ),
    box("log x", set("logX"), s.logX),
    box("log y", set("logY")),
  ];
  return part("Means with 95 % intervals over repeats", state, controls, draw);
}

const swatch = (fill) => el("span", { class: "swatch", style: `background:${fill}` });

function box(label, onchange, checked = false) {
  const input = el("input", { type: "checkbox", checked, onchange: () => onchange(input.checked) });
  return el("label", {}, input, label);
}

/** A line for each run through its settings, coloured by a number. */
function parallel(runs) {
  const draw = ({ metric }) => {
    const size = [760, 320];
    const height = size[1] - 70;
    const known = runs.filter((run) => finite(run.last[metric]));
    const columns = [...data.axes.slice(0, 9), metric];
    const root = svg("svg", { viewBox: `0 0 ${size.join(" ")}`, role: "img" });
    const left = (i) => 50 + (i * (size[0] - 100)) / Math.max(columns.length - 1, 1);
    const places = columns.map((column, i) => {
      const value = (run) => (column === metric && i === columns.length - 1 ? run.last[metric] : keyOf(run, column));
      const values = unique(known.map(value)).sort(order);
      const numeric = i === columns.length - 1;
      const axis = scale(numeric ? values : values.map((_, k) => k), height, false);
      const at = (run) => 45 + height - axis.at(numeric ? value(run) : values.indexOf(value(run)));
      root.append(svg("line", { class: "grid", x1: left(i), x2: left(i), y1: 45, y2: 45 + height }));
      const short = column.length > 18 ? `…${column.slice(-17)}` : column;
      root.append(
        svg("text", { x: left(i), y: i % 2 ? 14 : 30, "text-anchor": "middle" }, short, svg("title", {}, column)),
      );
      const marks = numeric ? axis.ticks.map((v) => [v, shown(v)]) : values.map((v, k) => [k, v]);
      const few = marks.filter((_, k) => k % Math.ceil(marks.length / 12) === 0);
      for (const [v, name] of few) root.append(svg("text", { x: left(i) + 5, y: 49 + height - axis.at(v) }, name));
      return at;
    });
    const share = scale(
      known.map((run) => run.last[metric]),
      1,
      false,
    ).at;
    for (const run of known) {
      const d = path(places.map((at, i) => [left(i), at(run)]));
      const said = `${run.name}: ${shown(run.last[metric])}`;
      root.append(svg("path", { class: "strand", stroke: shade(share(run.last[metric])), d }, svg("title", {}, said)));
    }
    return root;
  };
  const names = metricsOf(runs, true);
  const controls = (s, set) => [choice("number", names, s.metric, set("metric"))];
  return part("Parallel coordinates", { metric: metricsOf(runs)[0] }, controls, draw);
}

/** The mean of a number for every pair of values of two keys. */
function heatMap(runs) {
  const draw = ({ metric, rows, columns }) => {
    const known = runs.filter((run) => finite(run.last[metric]));
    const values = (key) => unique(known.map((run) => keyOf(run, key))).sort(order);
    const mean = (a, b) => {
      const here = known
        .filter((run) => keyOf(run, rows) === a && keyOf(run, columns) === b)
        .map((run) => run.last[metric]);
      return [here.reduce((x, y) => x + y, 0) / here.length, here.length];
    };
    const [down, across] = [values(rows), values(columns)];
    const share = scale(
      down.flatMap((a) => across.map((b) => mean(a, b)[0])),
      1,
      false,
    ).at;
    const cell = (a, b) => {
      const [value, n] = mean(a, b);
      const at = share(value);
      const style = n ? `background:${shade(at)};color:${at > 0.6 ? "#000" : "#fff"}` : null;
      return el("td", { class: "number", style, title: `mean of ${n}` }, shown(value, "plain"));
    };
    const head = el(
      "tr",
      {},
      el("th", {}, `${rows} ↓  ${columns} →`),
      ...across.map((b) => el("th", { class: "number" }, b)),
    );
    const body = down.map((a) => el("tr", {}, el("th", {}, a), ...across.map((b) => cell(a, b))));
    return el("div", { class: "scroll" }, el("table", { id: "heat" }, el("thead", {}, head), el("tbody", {}, ...body)));
  };
  const keys = [...data.axes].sort((a, b) => (a === "seed") - (b === "seed"));
  const state = { metric: metricsOf(runs)[0], rows: keys[0], columns: keys[1] };
  const controls = (s, set) => [
    choice("number", metricsOf(runs, true), s.metric, set("metric")),
    choice("rows", keys, s.rows, set("rows")),
    choice("columns", keys, s.columns, set("columns")),
  ];
  return part("Heat map: means over all runs of two settings", state, controls, draw);
}
