// Elements made of data. Text is only ever set as text and attributes as attributes, so nothing that a name or a reason holds
// can become markup.

const svgNS = "http://www.w3.org/2000/svg";

// h makes an HTML element. props are attributes: false and null leave one out, true sets it empty, key makes morph
// find the element again among its brothers, vars are CSS variables for the style sheet.
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

// s makes an SVG element.
export function s(tag, props, ...children) {
  return fill(document.createElementNS(svgNS, tag), props, children);
}

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "vars") {
      for (const [k, v] of Object.entries(value)) el.style.setProperty("--" + k, String(v));
    } else if (name === "key") {
      el.dataset.key = String(value);
    } else if (/^on/i.test(name)) {
      throw new Error("h: listeners are added to the parts of the page, not to what they show");
    } else {
      el.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(el, children);
  return el;
}

function append(el, children) {
  for (const c of children) {
    if (c === null || c === undefined || c === false || c === "") continue;
    if (Array.isArray(c)) append(el, c);
    else el.append(c instanceof Node ? c : document.createTextNode(String(c)));
  }
}

// draw makes el's content that of nodes, changing only what differs: focus, selection and scrolling stay.
export function draw(el, ...nodes) {
  const fresh = el.cloneNode(false);
  append(fresh, nodes);
  children(el, fresh);
}

const keyOf = (n) => n.dataset?.key;

function children(el, fresh) {
  const next = [...fresh.childNodes];
  const wanted = new Set(next.map(keyOf).filter(Boolean));
  const there = new Map();
  for (const c of [...el.childNodes]) {
    const k = keyOf(c);
    if (!k) continue;
    if (wanted.has(k)) there.set(k, c);
    else c.remove();
  }
  let at = el.firstChild;
  for (const n of next) {
    const k = keyOf(n);
    let have = k ? there.get(k) : at;
    if (have && !k && keyOf(have)) have = null;
    if (have && have.nodeName !== n.nodeName) {
      if (k) {
        if (have === at) at = at.nextSibling;
        have.remove();
      }
      have = null;
    }
    if (!have) {
      el.insertBefore(n, at);
      continue;
    }
    if (have === at) at = at.nextSibling;
    else el.insertBefore(have, at);
    update(have, n);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

// The user's own, which drawing leaves alone.
const users = new Set(["open", "style"]);

function update(el, fresh) {
  if (el.nodeType === Node.TEXT_NODE) {
    if (el.data !== fresh.data) el.data = fresh.data;
    return;
  }
  for (const a of [...el.attributes]) {
    if (!users.has(a.name) && !fresh.hasAttribute(a.name)) el.removeAttribute(a.name);
  }
  for (const a of fresh.attributes) {
    if (!users.has(a.name) && el.getAttribute(a.name) !== a.value) el.setAttribute(a.name, a.value);
  }
  if (el.style.cssText !== fresh.style.cssText) el.style.cssText = fresh.style.cssText;
  if (el.nodeName === "OPTION") el.selected = fresh.selected;
  children(el, fresh);
}
