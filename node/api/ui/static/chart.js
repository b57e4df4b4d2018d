// Small pictures of numbers. They show what is written beside them, so readers of the page by ear are not told of them.

import { h, s } from "./dom.js";

// spark draws lines over one another, by class name; null breaks a line.
export function spark(lines, width = 120, height = 28) {
  const all = Object.values(lines).flat().filter((v) => v !== null);
  const most = Math.max(1e-9, ...all);
  const drawn = Object.entries(lines).map(([name, values]) => {
    const step = width / Math.min(119, Math.max(20, values.length - 1));
    const shown = values.slice(-120);
    let d = "";
    let pen = false;
    shown.forEach((v, i) => {
      if (v === null) {
        pen = false;
        return;
      }
      const x = width - (shown.length - 1 - i) * step;
      const y = height - 1.5 - (v / most) * (height - 3);
      d += (pen ? "L" : "M") + x.toFixed(1) + " " + y.toFixed(1);
      pen = true;
    });
    return s("path", { class: "line " + name, d });
  });
  return s("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false", preserveAspectRatio: "none" }, drawn);
}

// bar is a bar of parts of a whole, each {name, part} with part from 0 to 1.
export function bar(parts, label) {
  return h("div", { class: "bar", role: "img", "aria-label": label },
    parts.filter((p) => p.part > 0.0005).map((p) => h("span", { key: p.name, class: "seg " + p.name, vars: { part: Math.min(1, p.part).toFixed(4) } })));
}
