// A transfer seen on the map: a line from the giver to the taker that fades.

import { s } from "./dom.js";

const most = 12;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export function arc(part, from, to, kind) {
  if (calm.matches || document.hidden) return;
  const map = part.querySelector(".map");
  const find = (name) => [...map.querySelectorAll("[data-node]")].find((n) => n.dataset.node === name);
  const a = map && find(from);
  const b = map && find(to);
  if (!a || !b) return;
  let sky = part.querySelector(".sky");
  if (!sky) {
    sky = s("svg", { class: "sky", "aria-hidden": "true", focusable: "false" });
    part.append(sky);
  }
  while (sky.childElementCount >= most) sky.firstChild.remove();
  const o = part.getBoundingClientRect();
  const at = (el) => {
    const r = el.getBoundingClientRect();
    return [r.left + r.width / 2 - o.left, r.top + r.height / 2 - o.top];
  };
  const [x1, y1] = at(a);
  const [x2, y2] = at(b);
  const bend = Math.min(60, Math.hypot(x2 - x1, y2 - y1) / 3);
  const line = s("path", { class: "arc " + kind, d: `M${x1} ${y1}Q${(x1 + x2) / 2} ${(y1 + y2) / 2 - bend} ${x2} ${y2}`, pathLength: 1 });
  line.addEventListener("animationend", () => line.remove());
  sky.append(line);
}
