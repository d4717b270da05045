// Charts: drawn from the page's data, with choices, a key that brings series to the fore, zoom, and saving.
(async () => {
  if (!gradbench.page || typeof vegaEmbed === "undefined") return;
  const { rows, number, raised, element } = gradbench, page = await gradbench.page;
  const config = { ...page.config, font: getComputedStyle(document.body).fontFamily };

  const tip = document.getElementById("tip");
  const tooltip = (_handler, event, _item, value) => {
    tip.hidden = !value;
    if (!value) return;
    tip.replaceChildren(...Object.entries(value).map(([name, text]) => element("div", {}, element("b", {}, name), String(text))));
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + box.height + 24 > innerHeight ? event.clientY - box.height - 12 : event.clientY + 16}px`;
  };

  const filled = (chart, values, changes) => ({
    ...chart.spec,
    params: chart.spec.params.map((param) => (param.name in values ? { ...param, value: values[param.name] } : param)),
    datasets: { ...chart.spec.datasets, [chart.data]: rows(page.data[chart.data]) },
    ...changes,
  });

  // Vega's ticks do for an axis without its own; ours name 0 and ∞, which have a place and no value.
  const verticalTicks = (type, [low, high], own) => {
    const named = own.filter(({ text }) => text === "∞" || text.startsWith(">") || (type === "log" && text === "0"));
    const plain = own.filter((tick) => !named.includes(tick)).map(({ value }) => value), share = own.some(({ text }) => text.endsWith("%"));
    const bottom = Math.max(low, Math.min(...plain)), top = Math.min(high, Math.max(...plain));
    let values = [];
    if (type === "log") {
      const step = Math.max(1, Math.ceil(Math.log10(top / bottom) / 7)), factors = top / bottom > 100 ? [1] : [1, 2, 5];
      for (let power = Math.floor(Math.log10(bottom)); power <= Math.ceil(Math.log10(top)); power += 1)
        if (power % step === 0) values.push(...factors.map((factor) => Number(`${factor}e${power}`)));
    }
    if (values.filter((value) => value >= bottom && value <= top).length < 3) {
      const rough = (top - bottom) / 5, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
      values = Array.from({ length: 12 }, (_, i) => Number(((Math.ceil(bottom / step) + i) * step).toPrecision(10)));
    }
    const power = (value) => Math.round(Math.log10(value));
    const write = (value) => {
      if (share) return `${number(100 * value)}%`;
      return type === "log" && Math.abs(power(value)) > 3 && value === Number(`1e${power(value)}`) ? `10${raised(power(value))}` : number(value);
    };
    return [...values.filter((value) => value >= bottom && value <= top).map((value) => ({ value, text: write(value) })),
      ...named.filter(({ value }) => value >= low && value <= high)];
  };
  const drawnTicks = (view) => {
    const found = [], walk = (node, left) => {
      if (left && node.role === "axis-label") found.push(...node.items.map((item) => ({ value: item.datum.value, text: item.text })));
      (node.items ?? []).forEach((item) => walk(item, item.orient ? item.orient === "left" : left));
    };
    walk(view.scenegraph().root, false);
    return found;
  };

  // Limits are set by places on the chart, in pixels, so that every kind of scale is zoomed alike.
  const zoomer = (view, channels, changed) => {
    const size = { x: view.width(), y: view.height() };
    const full = () => Object.fromEntries(channels.map((channel) => [channel, view.scale(channel).domain()]));
    let whole = full(), own = drawnTicks(view), now = null;
    const limits = (channel, from, to) => {
      const [low, high] = [view.scale(channel).invert(from), view.scale(channel).invert(to)].sort((a, b) => a - b);
      return [Math.max(low, whole[channel][0]), Math.min(high, whole[channel][1])];
    };
    const set = async (next) => {
      const all = next && channels.every((channel) => next[channel][0] <= whole[channel][0] && next[channel][1] >= whole[channel][1]);
      now = all ? null : next;
      if (now && now.y) {
        const ticks = verticalTicks(view.scale("y").type, now.y, own);
        now = { ...now, ticks: ticks.map(({ value }) => value), texts: ticks.map(({ text }) => text) };
      }
      await view.signal("zoom", now).runAsync();
      changed(now !== null);
    };
    const to = (box) => {  // box: for each channel [from, to] in pixels
      const next = Object.fromEntries(channels.map((channel) => [channel, box[channel] ? limits(channel, ...box[channel]) : view.scale(channel).domain()]));
      return set(next);
    };
    const around = (share) => to(Object.fromEntries(channels.map((channel) => [channel, [size[channel] * (0.5 - share), size[channel] * (0.5 + share)]])));
    const pan = (channel, share) => {
      if (!now || !channels.includes(channel)) return;
      const [from, end] = [size[channel] * share, size[channel] * (1 + share)], scale = view.scale(channel);
      const wanted = [scale.invert(from), scale.invert(end)].sort((a, b) => a - b);
      if (wanted[0] >= whole[channel][0] && wanted[1] <= whole[channel][1]) to({ [channel]: [from, end] });
    };
    // Another choice has other limits.
    const again = async () => { await set(null); whole = full(); own = drawnTicks(view); };
    return { to, in: () => around(0.3), out: () => around(0.83), pan, reset: () => set(null), again };
  };

  const brush = (place, view, channels, zoom) => {
    const at = (event) => {
      const svg = place.querySelector("svg"), box = svg.getBoundingClientRect(), shrunk = svg.viewBox.baseVal.width / box.width || 1;
      const [left, top] = view.origin();
      return { x: (event.clientX - box.left) * shrunk - left, y: (event.clientY - box.top) * shrunk - top, left: event.clientX, top: event.clientY };
    };
    place.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      event.preventDefault();
      place.focus({ preventScroll: true });
      const start = at(event), mark = element("div", { class: "brush" });
      const box = (end) => Object.fromEntries(channels.filter((channel) => Math.abs(end[channel] - start[channel]) > 8).map((channel) => [channel, [start[channel], end[channel]]]));
      const move = (moved) => {
        const end = at(moved), area = place.getBoundingClientRect();
        mark.style.left = `${Math.min(start.left, end.left) - area.left}px`;
        mark.style.top = `${Math.min(start.top, end.top) - area.top}px`;
        mark.style.width = `${Math.abs(end.left - start.left)}px`;
        mark.style.height = `${Math.abs(end.top - start.top)}px`;
        if (!mark.isConnected && Object.keys(box(end)).length) place.append(mark);
      };
      const stop = (ended) => {
        removeEventListener("pointermove", move);
        mark.remove();
        const chosen = box(at(ended));
        if (Object.keys(chosen).length) zoom.to(chosen);
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", stop, { once: true });
    });
    place.addEventListener("dblclick", zoom.reset);
    place.addEventListener("keydown", (event) => {
      const keys = { "+": zoom.in, "=": zoom.in, "-": zoom.out, 0: zoom.reset, Escape: zoom.reset,
        ArrowLeft: () => zoom.pan("x", -0.2), ArrowRight: () => zoom.pan("x", 0.2), ArrowUp: () => zoom.pan("y", -0.2), ArrowDown: () => zoom.pan("y", 0.2) };
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith("Arrow") && !view.signal("zoom")) return;
      event.preventDefault();
      keys[event.key]();
    });
  };

  // A saved figure is for paper: the light palette, with the key, the panel and what was chosen inside.
  const light = (spec) => JSON.parse(JSON.stringify(spec).replaceAll(/var\((--[\w-]+)\)/g, (_, name) => page.palette[name]));
  const layersOf = (spec) => (spec.layer ? spec.layer.flatMap(layersOf) : [spec]);
  const saved = async (figure, chart, values, words) => {
    const spec = structuredClone(filled(chart, values, { width: 420, title: words }));
    for (const layer of layersOf(spec))
      for (const channel of ["color", "shape"]) {
        const encoding = layer.encoding?.[channel];
        if (encoding?.field && encoding.scale) encoding.legend = { labelExpr: figure.legend, title: null };
      }
    const drawn = await vegaEmbed(document.createElement("div"), light(spec), { renderer: "svg", ast: true, actions: false, config: light({ ...page.config, background: "#ffffff" }) });
    return drawn.view;
  };
  const download = (url, name) => element("a", { href: url, download: name }).click();
  const slug = (...parts) => parts.join(" ").toLowerCase().replaceAll(/[^a-z0-9]+/g, "-").replaceAll(/^-|-$/g, "");

  const shared = new Set();  // the strategies in the fore, in every chart of the page
  const views = new Map();  // for each set of values in the fore, the charts to tell
  for (const section of document.querySelectorAll("[data-figure]")) {
    const figure = page.figures[section.dataset.figure], { charts, groups, controls } = figure;
    const place = section.querySelector(".panels"), focus = figure.focus === "s" ? shared : new Set();
    const choices = Object.fromEntries(controls.map((control) => [control.name, control.value]));
    const words = () => [...section.querySelectorAll("[data-control]")].map((one) => `${one.parentElement.firstChild.textContent.trim()} ${one.selectedOptions[0].text}`).join(", ");
    if (!views.has(focus)) views.set(focus, []);
    let drawn = [];

    const draw = (chart, group) => {
      const place_ = element("div", { class: "chart", tabindex: 0, "aria-keyshortcuts": "+ - 0 ArrowLeft ArrowRight ArrowUp ArrowDown" });
      const button = (words_, label) => element("button", { type: "button", "aria-label": `${label}${group ? `: ${group}` : ""}`, title: label }, words_);
      const [nearer, farther, reset] = [button("+", "Zoom in"), button("−", "Zoom out"), button("Reset", "Reset the zoom")];
      const [svg, png] = [button("SVG", "Save as SVG"), button("PNG", "Save as PNG")];
      const zooms = chart.zooms.length ? [reset, farther, nearer] : [];
      reset.hidden = true;
      place.append(element("figure", {}, element("figcaption", {}, element("span", {}, group), element("span", { class: "tools" }, ...zooms, svg, png)), place_));
      const values = () => ({ choice_group: group, focus: [...focus], ...Object.fromEntries(Object.entries(choices).map(([name, value]) => [`choice_${name}`, value])) });
      const full = filled(chart, values(), { description: group ? `${group}: ${chart.spec.description}` : chart.spec.description });
      const ready = vegaEmbed(place_, full, { renderer: "svg", ast: true, actions: false, tooltip, config }).then((one) => {
        const zoom = zoomer(one.view, chart.zooms, (zoomed) => { reset.hidden = !zoomed; });
        if (chart.zooms.length) {
          brush(place_, one.view, chart.zooms, zoom);
          nearer.addEventListener("click", zoom.in);
          farther.addEventListener("click", zoom.out);
          reset.addEventListener("click", () => { zoom.reset(); place_.focus({ preventScroll: true }); });
        }
        return { view: one.view, zoom, finalize: one.finalize };
      });
      const save = async (kind) => {
        const { view } = await ready, title = { text: group || section.querySelector("h2").textContent, subtitle: words() };
        const copy = await saved(figure, chart, { ...values(), zoom: view.signal("zoom") }, title);
        const name = `${slug(section.dataset.figure, chart.variant, group)}.${kind}`;
        if (kind === "png") return download(await copy.toImageURL("png", 4), name);
        const url = URL.createObjectURL(new Blob([await copy.toSVG()], { type: "image/svg+xml" }));
        download(url, name);
        setTimeout(() => URL.revokeObjectURL(url), 10000);
      };
      svg.addEventListener("click", () => save("svg"));
      png.addEventListener("click", () => save("png"));
      return ready;
    };
    const current = () => charts.find((one) => !one.variant || one.variant === choices.variant);
    // A panel without a row at the reader's choices, as of a network that a strategy does not fit, is left out.
    let panels = [];
    const here = (row) => controls.every(({ name }) => !(name in row) || row[name] === choices[name]);
    const filledPanels = (chart) => {
      const all = [...rows(page.data[chart.data]), ...layersOf(chart.spec).flatMap((layer) => layer.data?.values ?? [])];
      const found = new Set(all.filter((row) => "g" in row && here(row)).map((row) => row.g));
      return groups.filter((group) => found.has(group));
    };
    const redraw = () => {
      drawn.forEach((promise) => promise.then((one) => one.finalize()));
      place.replaceChildren();
      const chart = current();
      panels = filledPanels(chart);
      drawn = panels.map((group) => draw(chart, group));
      if (!panels.length) place.append(element("p", { class: "missing" }, "Nothing was measured at this choice."));
    };
    for (const select of section.querySelectorAll("[data-control]")) {
      const name = select.dataset.control;
      select.selectedIndex = [...select.options].findIndex((option) => JSON.parse(option.value) === choices[name]);
      select.addEventListener("change", () => {
        choices[name] = JSON.parse(select.value);
        if (name === "variant" || String(filledPanels(current())) !== String(panels)) redraw();
        else drawn.forEach((promise) => promise.then(async ({ view, zoom }) => { await zoom.reset(); await view.signal(`choice_${name}`, choices[name]).runAsync(); await zoom.again(); }));
      });
    }

    const keys = [...section.querySelectorAll(".keys [data-key]")];
    const tell = () => {
      drawn.forEach((promise) => promise.then(({ view }) => view.signal("focus", [...focus]).runAsync()));
      for (const key of keys) {
        const pressed = focus.has(JSON.parse(key.dataset.key));
        key.firstElementChild.setAttribute("aria-pressed", pressed);
        key.classList.toggle("dim", focus.size > 0 && !pressed);
      }
    };
    views.get(focus).push(tell);
    for (const key of keys) {
      const value = JSON.parse(key.dataset.key), button = element("button", { type: "button", "aria-pressed": "false", title: "Bring to the fore" }, ...key.childNodes);
      key.append(button);
      button.addEventListener("click", () => {
        if (!focus.delete(value)) focus.add(value);
        views.get(focus).forEach((one) => one());
      });
    }
    redraw();
  }
})();
