"use strict";
const data = JSON.parse(document.getElementById("data").textContent);

/** An element with attributes, listeners (`onclick`) and children; a string is text, never markup. */
function make(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}
const el = (tag, attributes = {}, ...children) => make(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const finite = (value) => typeof value === "number" && Number.isFinite(value);
const unique = (values) => [...new Set(values)];

/** A number with the digits that are worth reading: counts whole, hashes in hexadecimal. */
function shown(value, kind) {
  if (!finite(value)) return "–";
  if (kind === "count" && Number.isInteger(value)) return value.toLocaleString("en");
  if (kind === "hash") return value.toString(16).padStart(12, "0");
  const size = Math.abs(value);
  if (value === 0) return "0";
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

const HUES = [
  "#3b7dd8",
  "#e07b22",
  "#2f9e5b",
  "#d1495b",
  "#8a63d2",
  "#8f6b4a",
  "#d868b0",
  "#7a8594",
  "#a9a32a",
  "#25a5b8",
];
const colour = (i) => (i < HUES.length ? HUES[i] : `hsl(${(i * 137.5) % 360} 55% 52%)`);

/** From dark blue over green to yellow, for a share from 0 to 1: even steps in lightness, also in grey. */
function shade(share) {
  const stops = [
    [68, 1, 84],
    [59, 82, 139],
    [33, 145, 140],
    [94, 201, 98],
    [253, 231, 37],
  ];
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  return `rgb(${stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * (at - i))).join()})`;
}

/** Places of values on an axis of `length` pixels; `log` leaves out what is not positive. */
function scale(values, length, log) {
  const fits = values.filter((v) => finite(v) && (!log || v > 0));
  const f = log ? Math.log10 : (v) => v;
  let [low, high] = fits.length
    ? [f(fits.reduce((a, b) => Math.min(a, b))), f(fits.reduce((a, b) => Math.max(a, b)))]
    : [0, 1];
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const air = (high - low) * 0.03;
  [low, high] = [low - air, high + air];
  const at = (v) => (finite(v) && (!log || v > 0) ? ((f(v) - low) / (high - low)) * length : NaN);
  return { at, ticks: ticks(low, high, log, length > 300 ? 6 : 4) };
}

function ticks(low, high, log, wanted) {
  const rough = (high - low) / wanted;
  // Less than two decades have few powers of ten.
  if (log && high - low > 1.5) {
    const step = Math.max(1, Math.ceil(rough));
    return range(Math.ceil(low / step - 1e-9) * step, high, step).map((power) => 10 ** power);
  }
  if (log) return ticks(10 ** low, 10 ** high, false, wanted).filter((v) => v > 0);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power;
  return range(Math.ceil(low / step - 1e-9) * step, high, step);
}

function range(from, to, step) {
  const n = Math.floor((to - from) / step + 1e-9);
  return n < 0 ? [] : Array.from({ length: n + 1 }, (_, i) => Number((from + i * step).toPrecision(12)));
}

const MARGIN = { left: 58, right: 12, top: 8, bottom: 34 };

/** Axes in a drawing of its own: the area to draw into and its two scales. `names` stand for whole numbers on x. */
function axes({ xs, ys, log = [false, false], xLabel = "", names = null, size = [480, 260], kind = "" }) {
  const [width, height] = [size[0] - MARGIN.left - MARGIN.right, size[1] - MARGIN.top - MARGIN.bottom];
  const x = scale(names ? [-0.4, names.length - 0.6] : xs, width, log[0]);
  const y = scale(ys, height, log[1]);
  const area = svg("g", { transform: `translate(${MARGIN.left} ${MARGIN.top})` });
  for (const v of y.ticks) {
    const at = height - y.at(v);
    area.append(svg("line", { class: "grid", x1: 0, x2: width, y1: at, y2: at }));
    area.append(svg("text", { x: -6, y: at + 4, "text-anchor": "end" }, shown(v)));
  }
  const marks = names ? names.map((name, i) => [i, name]) : x.ticks.map((v) => [v, shown(v, kind)]);
  for (const [v, name] of marks) {
    area.append(svg("text", { x: x.at(v), y: height + 15, "text-anchor": "middle" }, name));
  }
  area.append(svg("line", { class: "grid", x1: 0, x2: width, y1: height, y2: height }));
  area.append(svg("text", { x: width / 2, y: height + 30, "text-anchor": "middle" }, xLabel));
  const root = svg("svg", { viewBox: `0 0 ${size.join(" ")}`, role: "img" }, area);
  return { root, area, width, height, x: (v) => x.at(v), y: (v) => height - y.at(v) };
}

/** A path through points; what has no place on the axes leaves a gap. */
function path(points) {
  let open = false;
  return points
    .map(([x, y]) => {
      const here = Number.isFinite(x) && Number.isFinite(y);
      const text = here ? `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}` : "";
      open = here;
      return text;
    })
    .join("");
}

/** The debiased exponential average that TensorBoard shows; what is not finite stays so and counts for nothing. */
function smoothed(values, weight) {
  let [sum, mass] = [0, 0];
  return values.map((v) => {
    if (!finite(v)) return v;
    sum = sum * weight + v * (1 - weight);
    mass = mass * weight + (1 - weight);
    return sum / mass;
  });
}

/** Curves over steps with a line that follows the pointer. `series`: {name, colour, xs, ys}. */
function curves(series, { log, smooth, kind }) {
  const even = series.map((s) => ({ ...s, shown: smooth > 0 ? smoothed(s.ys, smooth) : s.ys }));
  const all = (of) => even.flatMap(of);
  const plot = axes({ xs: all((s) => s.xs), ys: all((s) => s.ys), log, xLabel: "step", kind: "count" });
  const line = (s, ys, more) =>
    svg("path", { class: `curve ${more}`, stroke: s.colour, d: path(s.xs.map((x, i) => [plot.x(x), plot.y(ys[i])])) });
  for (const s of even) {
    if (smooth > 0) plot.area.append(line(s, s.ys, "raw"));
    plot.area.append(line(s, s.shown, ""));
    if (s.xs.length < 3) {
      s.xs.forEach((x, i) => {
        const [cx, cy] = [plot.x(x), plot.y(s.ys[i])];
        if (Number.isFinite(cx + cy)) plot.area.append(svg("circle", { cx, cy, r: 3, fill: s.colour }));
      });
    }
  }
  const cursor = svg("line", { class: "cursor", y1: 0, y2: plot.height, visibility: "hidden" });
  const readout = el("div", { class: "readout", "aria-live": "off" });
  plot.area.append(cursor);
  const follow = (event) => {
    const box = plot.root.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * plot.root.viewBox.baseVal.width - MARGIN.left;
    const steps = unique(all((s) => s.xs)).filter((x) => Number.isFinite(plot.x(x)));
    if (!steps.length) return;
    const step = steps.reduce((a, b) => (Math.abs(plot.x(b) - at) < Math.abs(plot.x(a) - at) ? b : a));
    make(cursor, { x1: plot.x(step), x2: plot.x(step), visibility: "visible" }, []);
    const here = even.map((s) => [s, s.shown[s.xs.indexOf(step)]]).filter(([, v]) => finite(v));
    const said = here.slice(0, 8).map(([s, v]) => (even.length > 1 ? `${s.name}: ${shown(v, kind)}` : shown(v, kind)));
    readout.textContent = `step ${step.toLocaleString("en")} · ${said.join(" · ")}${here.length > 8 ? " …" : ""}`;
  };
  plot.root.addEventListener("pointermove", follow);
  plot.root.addEventListener("pointerdown", follow);
  plot.root.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = "";
  });
  return [plot.root, readout];
}
