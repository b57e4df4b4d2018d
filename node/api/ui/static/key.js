// The key that a node may ask its callers for. It lives as long as the tab.

const place = "swarmpurse-key";
let held = "";

try {
  held = sessionStorage.getItem(place) ?? "";
} catch {
  // storage is off: it is kept in memory alone
}

export const key = () => held;

export function setKey(k) {
  held = k.trim();
  try {
    if (held) sessionStorage.setItem(place, held);
    else sessionStorage.removeItem(place);
  } catch {
    // as above
  }
}

// asksForKey shows the form when the node refuses, and calls used when there is a key to try.
export function asksForKey(form, used) {
  const text = form.querySelector("input");
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    setKey(text.value);
    text.value = "";
    used();
  });
  return {
    show(err) {
      form.querySelector("#key-why").textContent =
        (held ? "The key that was given does not do: " : "") + err.message + (err.status === 403 ? " It must be an operator's." : "");
      if (!form.hidden) return;
      form.hidden = false;
      text.focus();
    },
    hide() {
      form.hidden = true;
    },
  };
}
