"use strict";
// What the other parts share: the page's data, and how numbers and elements are made.
const gradbench = (() => {
  const packed = document.getElementById("charts");
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  };

  // A table by column as an array of rows; words are stored once and pointed to.
  const rows = (table) => {
    const columns = Object.entries(table).map(([key, c]) => [key, c.levels ? c.codes.map((i) => (i < 0 ? null : c.levels[i])) : c]);
    return columns.length ? columns[0][1].map((_, i) => Object.fromEntries(columns.map(([key, values]) => [key, values[i]]))) : [];
  };

  const raised = (power) => String(power).replace(/./g, (digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]));
  // Three significant digits, as the page's own tables write them.
  const number = (value) => {
    if (value === null || value === undefined) return "–";
    const x = value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
    const sign = x < 0 ? "−" : "", size = Number(Math.abs(x).toPrecision(3));
    if (size === Infinity) return `${sign}∞`;
    if (size === 0) return "0";
    if (size >= 1e-3 && size < 1e6) return sign + (size >= 1000 ? size.toLocaleString("en-US") : String(size));
    const [mantissa, power] = size.toExponential().split("e");
    return `${sign}${mantissa}·10${raised(Number(power))}`;
  };

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  return { page: packed ? unpack() : null, rows, number, raised, element };
})();
