// A cell by its address: `#cell-ID` opens what was measured there, its command, and its layers.
(async () => {
  const dialog = document.getElementById("cell");
  if (!dialog) return;
  const { rows, number, element } = gradbench, { cells } = await gradbench.page;
  const [title, body] = [document.getElementById("cell-title"), document.getElementById("cell-body")];
  const every = rows(cells.rows);
  const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)} %`);
  const pill = (verdict) => (verdict ? element("span", { class: `v ${verdict}` }, verdict) : "–");
  const axis = (name) => name.replaceAll(/[_.]/g, " ");
  const place = (row) => cells.axes.map((name) => (typeof row[name] === "number" ? `${axis(name)} ${row[name]}` : row[name])).join(", ");

  const table = (caption, headings, lines) => element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    element("table", {},
      element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...headings.map(([words, kind]) => element("th", { scope: "col", class: kind }, words)))),
      element("tbody", {}, ...lines.map((line) => element("tr", {}, ...line.map((field, i) => {
        const head = i === 0;
        return element(head ? "th" : "td", head ? { scope: "row" } : { class: headings[i][1] }, ...[field].flat());
      }))))));

  const NUMBERS = [
    ["noise ratio", (row) => number(row.noise_ratio)], ["rel. error", (row) => number(row.rel_error)],
    ["SNR (dB)", (row) => number(row.min_snr_db)], ["accuracy", (row) => percent(row.accuracy)],
    ["time", (row) => number(row.time_ratio)], ["bytes / px", (row) => number(row.bytes_per_pixel)],
    ["bytes / px, counted", (row) => number(row.counted_bytes_per_pixel)],
    ["changed buffers", (row) => number(row.changed_buffers)], ["repeat error", (row) => number(row.repeat_error)],
  ];
  const measured = (mine) => {
    const shown = NUMBERS.filter(([, text]) => mine.some((row) => text(row) !== "–"));
    const what = (row) => (row.status === "ok" ? [pill(row.verdict), row.notes ? element("span", { class: "small" }, ` ${row.notes}`) : ""] : [element("b", { class: "bad" }, row.status), ` ${row.reason ?? ""}`]);
    const worst = (row) => (row.worst_parameter && row.worst_noise_ratio !== 0 ? [element("code", {}, row.worst_parameter), ` ${number(row.worst_noise_ratio)}, after ${row.worst_step} steps`] : "–");
    return table("What was measured here", [["strategy", ""], ["verdict", ""], ["worst weight tensor, its noise ratio", ""], ...shown.map(([name]) => [name, "n"])],
      mine.map((row) => [row.strategy, what(row), worst(row), ...shown.map(([, text]) => text(row))]));
  };

  // A table of layers for each step: a column for each strategy.
  const layers = (table_, id, caption, first, show) => {
    if (!table_) return [];
    const mine = rows(table_).filter((row) => row.cell === id);
    return [...new Set(mine.map((row) => row.step))].map((step) => {
      const here = mine.filter((row) => row.step === step), names = [...new Set(here.map((row) => row.name))];
      const strategies = [...new Set(here.map((row) => row.s))];
      const found = new Map(here.map((row) => [`${row.s} ${row.name}`, row]));
      const fields = (name) => strategies.map((strategy) => found.get(`${strategy} ${name}`)).map((row) => (row ? show(row) : "–"));
      return element("details", {}, element("summary", {}, `${caption}, after ${step} steps (${names.length})`),
        table(`${caption}, after ${step} steps`, [[first, ""], ...strategies.map((strategy) => [strategy, "n"])],
          names.map((name) => [element("code", {}, name), ...fields(name)])));
    });
  };
  const ratio = (row) => element("span", { class: `v ${row.v ?? ""}`, title: row.v ?? "" }, number(row.y));

  const show = (id) => {
    const mine = every.filter((row) => row.cell === id);
    if (!mine.length) return;
    const seeds = [...new Map(every.filter((row) => place(row) === place(mine[0])).map((row) => [row.seed, row.cell]))];
    title.textContent = `${place(mine[0])}${cells.axes.length ? ", " : ""}seed ${mine[0].seed}`;
    const command = element("div", { class: "command" }, element("pre", { class: "wrap" }, element("code", {}, `${cells.command} --cell ${id}`)),
      element("button", { type: "button", "data-copy": "" }, "Copy"));
    const others = element("p", { class: "reading" }, "Cell ", element("code", {}, id), ". Seeds here: ",
      ...seeds.flatMap(([seed, cell]) => [cell === id ? element("b", {}, String(seed)) : element("a", { href: `#cell-${cell}` }, String(seed)), " "]));
    body.replaceChildren(others, ...(cells.command ? [element("h3", {}, "Run this cell alone"), command] : []), measured(mine),
      ...(cells.note ? [element("p", { class: "reading" }, cells.note)] : []),
      ...layers(cells.gradients, id, "Weight gradients: noise ratio", "weight tensor", ratio),
      ...layers(cells.activations, id, "Rebuilt activations: SNR in dB", "layer", (row) => number(row.y)));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  };
  const open = () => {
    const id = location.hash.startsWith("#cell-") && decodeURIComponent(location.hash.slice(6));
    if (id) show(id);
    else if (dialog.open) dialog.close();
  };
  dialog.addEventListener("close", () => {
    if (location.hash.startsWith("#cell-")) history.replaceState(null, "", location.pathname + location.search);
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog || event.target.closest("[data-close]")) dialog.close(); });
  // The address may be the same as before, for which the browser fires no event.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#cell-']");
    if (link && link.hash === location.hash) open();
  });
  addEventListener("hashchange", open);
  open();
})();
