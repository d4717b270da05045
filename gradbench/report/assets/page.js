"use strict";
(() => {
  const table = document.getElementById("table");
  if (!table) return;
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
  const compare = (a, b) => {
    const x = a === "inf" ? Infinity : Number(a), y = b === "inf" ? Infinity : Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  headings.forEach((heading, column) => heading.firstElementChild.addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sorted = [...body.rows].sort((a, b) => {
      const x = key(a, column), y = key(b, column);
      if (x === "" || y === "") return (x === "") - (y === "");
      return down ? compare(y, x) : compare(x, y);
    });
    body.append(...sorted);
  }));

  const search = document.getElementById("search"), strategy = document.getElementById("filter-strategy"), verdict = document.getElementById("filter-verdict");
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = (strategy.value && row.dataset.strategy !== strategy.value) || (verdict.value && row.dataset.verdict !== verdict.value) || !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${body.rows.length} rows`;
  };
  [search, strategy, verdict].forEach((input) => input.addEventListener("input", filter));

  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.closest("details");
    if (details) { details.open = true; target.scrollIntoView({ block: "center" }); }
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => document.querySelectorAll("section > details").forEach((one) => { one.open = true; }));
})();

(async () => {
  if (!document.getElementById("charts")) return;
  const packed = Uint8Array.from(atob(document.getElementById("charts").textContent), (letter) => letter.charCodeAt(0));
  const page = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  const font = getComputedStyle(document.body).fontFamily;
  const axis = {
    labelColor: "var(--ink-2)", titleColor: "var(--ink-2)", gridColor: "var(--rule)", domain: false, ticks: false,
    labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelPadding: 6, titlePadding: 10, labelFlush: false,
  };
  const config = { background: null, font, view: { stroke: null }, axis, text: { fontSize: 12, font } };

  // A fresh copy of a dataset for each chart, since Vega writes into the rows that it is given.
  const rows = (name) => {
    const columns = Object.entries(page.data[name]).map(([key, c]) => [key, c.levels ? c.codes.map((i) => (i < 0 ? null : c.levels[i])) : c]);
    return columns[0][1].map((_, i) => Object.fromEntries(columns.map(([key, values]) => [key, values[i]])));
  };

  const tip = document.getElementById("tip");
  const tooltip = (_handler, event, _item, value) => {
    tip.hidden = !value;
    if (!value) return;
    tip.replaceChildren(...Object.entries(value).map(([name, text]) => {
      const line = document.createElement("div"), label = document.createElement("b");
      label.textContent = name;
      line.append(label, String(text));
      return line;
    }));
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + box.height + 24 > innerHeight ? event.clientY - box.height - 12 : event.clientY + 16}px`;
  };

  const draw = ({ spec, data }, group, place, choices) => {
    const figure = document.createElement("figure"), title = document.createElement("figcaption"), chart = document.createElement("div");
    title.textContent = group;
    chart.className = "chart";
    figure.append(...(group ? [title, chart] : [chart]));
    place.append(figure);
    const set = { choice_group: group, ...Object.fromEntries(Object.entries(choices).map(([name, value]) => [`choice_${name}`, value])) };
    const full = {
      ...spec,
      params: spec.params.map((param) => (param.name in set ? { ...param, value: set[param.name] } : param)),
      description: group ? `${group}: ${spec.description}` : spec.description,
      datasets: { ...spec.datasets, [data]: rows(data) },
    };
    return vegaEmbed(chart, full, { renderer: "svg", ast: true, actions: false, tooltip, config });
  };

  for (const section of document.querySelectorAll("[data-figure]")) {
    const { charts, groups, controls } = page.figures[section.dataset.figure];
    const place = section.querySelector(".panels");
    const choices = Object.fromEntries(controls.map((control) => [control.name, control.value]));
    let drawn = [];
    const redraw = () => {
      drawn.forEach((promise) => promise.then((one) => one.finalize()));
      place.replaceChildren();
      const chart = charts.find((one) => !one.variant || one.variant === choices.variant);
      drawn = groups.map((group) => draw(chart, group, place, choices));
    };
    for (const select of section.querySelectorAll("[data-control]")) {
      const name = select.dataset.control;
      select.value = JSON.stringify(choices[name]);
      select.addEventListener("change", () => {
        choices[name] = JSON.parse(select.value);
        if (name === "variant") redraw();
        else drawn.forEach((promise) => promise.then((one) => one.view.signal(`choice_${name}`, choices[name]).runAsync()));
      });
    }
    redraw();
  }
})();
