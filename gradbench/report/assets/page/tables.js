// Tables: a heading of a table of class `sortable` sorts it; `[data-filters=ID]` holds what filters the rows of table ID.
(() => {
  const compare = (a, b) => {
    const x = a === "inf" ? Infinity : Number(a), y = b === "inf" ? Infinity : Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y;
  };
  const key = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
  const sort = (table, headings, column) => {
    const down = headings[column].getAttribute("aria-sort") === "ascending";
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[column].setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((a, b) => {
      const x = key(a, column), y = key(b, column);
      if (x === "" || y === "") return (x === "") - (y === "");
      return down ? compare(y, x) : compare(x, y);
    }));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    headings.forEach((heading, column) => {
      if (!heading.textContent.trim()) return;
      const button = gradbench.element("button", { type: "button", title: "Sort by this column" }, ...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, headings, column));
    });
  }

  for (const filters of document.querySelectorAll("[data-filters]")) {
    const body = document.getElementById(filters.dataset.filters).tBodies[0];
    const search = filters.querySelector("[type=search]"), fields = [...filters.querySelectorAll("[data-field]")];
    filters.addEventListener("input", () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word))
          || fields.some((field) => field.value && row.dataset[field.dataset.field] !== field.value);
        shown += !row.hidden;
      }
      filters.querySelector("output").textContent = `${shown} of ${body.rows.length} rows`;
    });
  }
})();
