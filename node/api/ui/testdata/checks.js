// What a page can tell of itself, for page_test.go.
globalThis.check = (() => {
  const visible = (el) => el.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && el.getBoundingClientRect().width > 0;
  const name = (el) => el.ariaLabel || el.textContent.trim() || [...(el.labels ?? [])].map((l) => l.textContent).join(" ").trim() || el.title;
  const told = (el) => `${el.nodeName.toLowerCase()}.${el.className?.baseVal ?? el.className} ${name(el).slice(0, 60)}`;
  const seen = new Set();
  const focusable = () =>
    [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter((el) => !el.disabled && !el.closest("dialog:not([open])") && !el.closest("[hidden]") && (visible(el) || el.matches(".skip")));

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const ground = (el) => {
    const layers = [];
    for (let e = el; e; e = e.parentElement) layers.push(colour(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);

  document.addEventListener("focusin", (e) => seen.add(e.target));

  return {
    seen,
    // contrast lists text that is too faint on its ground: WCAG's 4.5, or 3 if it is large.
    contrast(root = document.body) {
      const faint = new Set();
      const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
      for (let n = walk.nextNode(); n; n = walk.nextNode()) {
        const el = n.parentElement;
        if (!n.data.trim() || !visible(el) || el.closest("script, noscript, option")) continue;
        const style = getComputedStyle(el);
        const under = ground(el);
        const [a, b] = [light(over(colour(style.color), under)), light(under)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 600);
        if (ratio < (large ? 3 : 4.5)) faint.add(`contrast ${ratio.toFixed(2)}: ${told(el)}`);
      }
      return [...faint];
    },
    // names lists what can be used and has no name to be told by.
    names() {
      const bad = focusable().filter((el) => !name(el)).map((el) => "has no name: " + told(el));
      for (const el of document.querySelectorAll("input, select")) if (!el.labels?.length && !el.ariaLabel) bad.push("has no label: " + told(el));
      for (const el of document.querySelectorAll("[role=img]")) if (!el.ariaLabel) bad.push("a picture without words: " + told(el));
      const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
      for (const id of new Set(ids)) if (ids.filter((x) => x === id).length > 1) bad.push("an id stands twice: " + id);
      return bad;
    },
    // width lists what makes the page wider than the window.
    width() {
      const most = document.documentElement.clientWidth;
      if (document.scrollingElement.scrollWidth <= most) return [];
      return [...document.querySelectorAll("main *")].filter((el) => !el.closest(".scroll, svg") && el.getBoundingClientRect().right > most + 1).slice(0, 5).map((el) => "too wide: " + told(el));
    },
    number: () => focusable().length,
    missed: () => focusable().filter((el) => !seen.has(el)).map(told),
  };
})();
undefined;
