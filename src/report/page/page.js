/** The page from top to bottom. */

const runs = data.runs;
const MANY = 8;

function section(id, title, ...children) {
  return el("section", { id }, el("h2", {}, title), ...children);
}

/** One tile for each number that matters: its best run, or its last value and its best on the way. */
function tiles() {
  const tile = (name) => {
    const about = number(name);
    const known = runs.filter((run) => finite(run.last[name]));
    const top = best(
      name,
      known.map((run) => run.last[name]),
    );
    const run = known.find((one) => one.last[name] === top) ?? known[0];
    if (!run) return null;
    const value = `${shown(run.last[name], about.kind)} ${about.unit}`;
    const all = (run.curves[name]?.values ?? []).filter(finite);
    const peak = best(name, all);
    const step = run.curves[name]?.steps[run.curves[name].values.indexOf(peak)];
    const onTheWay = peak !== undefined && peak !== run.last[name] && `best ${shown(peak, about.kind)} at step ${step}`;
    const who = runs.length > 1 && (top === undefined ? `of ${run.name}` : `best of ${known.length}: ${run.name}`);
    const said = [who, onTheWay].filter(Boolean).map((text) => el("div", { class: "faint" }, text));
    return el("div", { class: "tile", title: about.about }, `${name}${arrow(name)}`, el("b", {}, value), ...said);
  };
  const names = metricsOf(runs);
  const hint = el(
    "p",
    { class: "faint" },
    "Values of the last logged step. ↑ large values are better, ↓ small ones are; the others say how things stand.",
  );
  return [el("div", { class: "tiles" }, ...names.map(tile).filter(Boolean)), hint];
}

function numbersTable() {
  const names = metricsOf(runs, true);
  const row = (name) => {
    const values = runs.map((run) => run.last[name]);
    const top = runs.length > 1 ? best(name, values) : undefined;
    const cell = (value) =>
      el("td", { class: `number${finite(value) && value === top ? " best" : ""}` }, shown(value, number(name).kind));
    return el(
      "tr",
      {},
      el("th", {}, name + arrow(name)),
      ...values.map(cell),
      el("td", { class: "faint" }, number(name).about),
    );
  };
  const head = el(
    "tr",
    {},
    el("th", {}, "number"),
    ...runs.map((run) => el("th", { class: "number" }, run.name)),
    el("th", {}, "what it is"),
  );
  return el(
    "div",
    { class: "scroll" },
    el("table", { id: "numbers" }, el("thead", {}, head), el("tbody", {}, ...names.map(row))),
  );
}

function curveSection() {
  const state = { log: [false, false], smooth: 0, hidden: new Set(), find: "" };
  // What was logged once has no course: it stands in the tables.
  const courses = (run) => Object.keys(run.curves).filter((name) => run.curves[name].steps.length > 1);
  const names = unique(runs.flatMap(courses));
  if (!names.length) return null;
  const groups = [
    ["probe", "Probes"],
    ["train", "Training"],
    ["chain", "Chains and cost"],
  ];
  const holders = groups.map(([group, title], i) => {
    const own = names.filter((name) => number(name).group === group);
    own.sort((a, b) => (number(b).lead ?? 0) - (number(a).lead ?? 0));
    const cards = el("div", { class: "cards" });
    const fold = el(
      "details",
      { open: i < 2, ontoggle: () => draw() },
      el("summary", {}, `${title} (${own.length})`),
      cards,
    );
    const draw = () => {
      // What is folded away is drawn when it is opened.
      if (!fold.open) return;
      cards.replaceChildren(...own.filter((name) => name.includes(state.find)).map((name) => card(name, state)));
    };
    return { own, fold, draw };
  });
  const shownHolders = holders.filter((holder) => holder.own.length);
  const redraw = () => shownHolders.forEach((holder) => holder.draw());
  redraw();
  const set = (change) => (value) => (change(value), redraw());
  const smooth = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, "aria-label": "smoothing" });
  smooth.addEventListener("input", () => set((v) => (state.smooth = v))(Number(smooth.value)));
  const find = el("input", { type: "search", placeholder: "find a number", "aria-label": "find a number" });
  find.addEventListener("input", () => set((v) => (state.find = v))(find.value));
  const entry = (run, i) => {
    const input = el("input", { type: "checkbox", checked: true });
    input.addEventListener("change", () => set(() => (input.checked ? state.hidden.delete(i) : state.hidden.add(i)))());
    return el("label", {}, input, swatch(colour(i)), run.name);
  };
  const controls = el(
    "div",
    { class: "controls" },
    find,
    box(
      "log x",
      set((v) => (state.log[0] = v)),
    ),
    box(
      "log y",
      set((v) => (state.log[1] = v)),
    ),
    el("label", {}, "smoothing", smooth),
  );
  const legend = runs.length > 1 ? el("div", { class: "legend" }, ...runs.map(entry)) : null;
  return section("curves", "Curves", controls, legend, ...shownHolders.map((holder) => holder.fold));
}

function card(name, state) {
  const has = runs.map((run, i) => [run, i]).filter(([run, i]) => run.curves[name] && !state.hidden.has(i));
  const series = has.map(([run, i]) => {
    const { steps, values } = run.curves[name];
    return { name: run.name, colour: colour(i), xs: steps, ys: values };
  });
  const thinned = has.some(([run]) => run.curves[name].all > run.curves[name].steps.length);
  const { unit, kind, about } = number(name);
  const note = [about, unit && `in ${unit}`, thinned && "lows and highs of every stretch of steps"]
    .filter(Boolean)
    .join("; ");
  return el(
    "div",
    { class: "card" },
    el("h4", {}, name + arrow(name)),
    el("div", { class: "faint" }, note),
    ...curves(series, { log: state.log, smooth: state.smooth, kind }),
  );
}

/** For each kind of picture its runs side by side, on one slider over the steps. */
function pictureSection() {
  const kinds = unique(runs.flatMap((run) => run.pictures.map((picture) => picture.name)));
  if (!kinds.length) return null;
  const block = (name) => {
    const owners = runs.map((run) => [run, run.pictures.find((picture) => picture.name === name)]).filter(([, p]) => p);
    const steps = unique(owners.flatMap(([, p]) => p.frames.map((f) => f.step)))
      .filter((s) => s != null)
      .sort((a, b) => a - b);
    const figures = owners.map(([run, picture]) => {
      const [img, caption] = [el("img", { alt: `${name} of ${run.name}`, loading: "lazy" }), el("figcaption")];
      const show = (step) => {
        const upTo = picture.frames.filter((f) => f.step == null || f.step <= step);
        const frame = upTo.at(-1) ?? picture.frames[0];
        img.src = frame.src;
        caption.textContent = [
          runs.length > 1 && run.name,
          frame.step != null && `step ${frame.step.toLocaleString("en")}`,
        ]
          .filter(Boolean)
          .join(", ");
      };
      show(steps.at(-1) ?? 0);
      return { node: el("figure", {}, img, caption), show };
    });
    const slider = el("input", {
      type: "range",
      min: 0,
      max: steps.length - 1,
      value: steps.length - 1,
      "aria-label": `step of ${name}`,
    });
    slider.addEventListener("input", () => figures.forEach((figure) => figure.show(steps[slider.value])));
    const left = owners.some(([, p]) => p.all > p.frames.length) ? `${steps.length} of all looks are in this file` : "";
    const controls =
      steps.length > 1
        ? el("div", { class: "controls" }, el("label", {}, "step", slider), el("span", { class: "faint" }, left))
        : null;
    const open = figures.length <= 3 * MANY;
    return el(
      "details",
      { open },
      el("summary", {}, name),
      controls,
      el("div", { class: "pictures" }, ...figures.map((f) => f.node)),
    );
  };
  const missing = data.pictures_left_out
    ? `${data.pictures_left_out} series of pictures are left out, which would make this file too large.`
    : "";
  return section("pictures", "Pictures", el("p", { class: "faint" }, missing), ...kinds.map(block));
}

/** Keys in rows; runs in columns, or where there are many the values with how often each occurs. */
function keyTable(id, keys, value) {
  const count = (key) => {
    const counts = new Map();
    runs.forEach((run) => counts.set(value(run, key), (counts.get(value(run, key)) ?? 0) + 1));
    const all = [...counts].sort(([a], [b]) => order(a, b)).map(([v, n]) => `${v} (${n})`);
    return [el("td", {}, all.slice(0, 12).join(", ") + (all.length > 12 ? ` and ${all.length - 12} more` : ""))];
  };
  const many = runs.length > MANY;
  const cells = (key) => (many ? count(key) : runs.map((run) => el("td", {}, value(run, key))));
  const heads = many ? ["values (runs)"] : runs.map((run) => run.name);
  const head = el("tr", {}, ...["key", ...heads].map((text) => el("th", {}, text)));
  const body = keys.map((key) => el("tr", {}, el("th", {}, key), ...cells(key)));
  return el("div", { class: "scroll" }, el("table", { id }, el("thead", {}, head), el("tbody", {}, ...body)));
}

function settings() {
  const shared = Object.entries(data.common).map(([key, value]) =>
    el("tr", {}, el("th", {}, key), el("td", {}, value)),
  );
  const differ = data.differing.length
    ? [el("h3", {}, "What differs"), keyTable("differences", data.differing, keyOf)]
    : [];
  const title = runs.length > 1 ? `What all runs share (${shared.length} keys)` : `All ${shared.length} keys`;
  return section(
    "settings",
    "Configuration",
    ...differ,
    el("details", {}, el("summary", {}, title), el("table", {}, el("tbody", {}, ...shared))),
  );
}

function environment() {
  const text = (value) =>
    value == null
      ? "–"
      : typeof value === "object"
        ? Object.entries(value)
            .map(([k, v]) => `${k} ${v.toLocaleString("en")}`)
            .join(", ")
        : String(value);
  const keys = unique(runs.flatMap((run) => Object.keys(run.environment ?? {})));
  const value = (run, key) =>
    key === "folder"
      ? run.dir
      : key === "status"
        ? run.status
        : key === "seconds of training"
          ? shown(run.seconds)
          : text(run.environment?.[key]);
  return section(
    "environment",
    "Environment",
    keyTable("machine", ["folder", "status", "seconds of training", ...keys], value),
  );
}

function sources() {
  if (!data.sources.length) return null;
  const entry = (source) => el("li", {}, source.text, el("span", { class: "faint" }, ` (${source.used.join(", ")})`));
  const all = data.sources.map((source) => source.bibtex).join("\n\n");
  return section(
    "sources",
    "Sources",
    el("ul", {}, ...data.sources.map(entry)),
    el("details", {}, el("summary", {}, "BibTeX"), el("pre", { id: "bibtex" }, all)),
  );
}

function several() {
  if (runs.length < 2) return null;
  const parts = [runTable(runs)];
  if (data.groups?.metrics.length) parts.push(intervals(runs, data.groups));
  if (data.groups) parts.push(...data.groups.notes.map((note) => el("p", { class: "faint" }, note)));
  const drawn = runs.length > 2 && metricsOf(runs).length > 0;
  if (drawn && data.axes.length) parts.push(parallel(runs));
  if (drawn && data.axes.length > 1) parts.push(heatMap(runs));
  return section("runs-compared", "Runs", ...parts);
}

function summary() {
  const counts = unique(runs.map((run) => run.status)).map(
    (status) => `${runs.filter((run) => run.status === status).length} ${status}`,
  );
  const head = el(
    "p",
    { class: "faint" },
    `${runs.length} ${runs.length === 1 ? "run" : "runs"}: ${counts.join(", ")} · ebm ${data.version}`,
  );
  const table =
    runs.length <= MANY ? el("details", {}, el("summary", {}, "All numbers of the last step"), numbersTable()) : null;
  const notes = data.notes.map((note) => el("p", { class: "note" }, note));
  return section("summary", "Summary", head, ...notes, ...tiles(), table);
}

const sections = [summary(), several(), curveSection(), pictureSection(), settings(), environment(), sources()].filter(
  Boolean,
);
const links = sections.map((one) => el("a", { href: `#${one.id}` }, one.firstChild.textContent));
document.getElementById("page").replaceChildren(el("h1", {}, data.title), el("nav", {}, ...links), ...sections);
