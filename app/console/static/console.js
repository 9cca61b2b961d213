// The console works without this script. It saves keystrokes: search as you type, and a few keys.
"use strict";

const search = document.querySelector("[data-search]");
const keysOff = "newsstand.keys.off";

// Search as you type: the list alone is fetched, and put where the page would have it.
if (search) {
  let asked = null;
  let waiting = 0;
  let sentFor = search.value.trim();

  const place = () => {
    let found = document.querySelector("[data-found]");
    if (!found) {
      found = document.createElement("div");
      found.id = "found";
      found.className = "floating";
      found.dataset.found = "";
      found.setAttribute("aria-live", "polite");
      search.form.append(found);
    }
    return found;
  };
  const look = async () => {
    const words = search.value.trim();
    if (words === sentFor) return;
    sentFor = words;
    asked?.abort();
    asked = new AbortController();
    const floating = document.querySelector(".floating");
    if (!words && floating) return floating.remove();
    try {
      const reply = await fetch(`${search.form.action}?part=1&q=${encodeURIComponent(words)}`, { signal: asked.signal });
      if (reply.redirected || !reply.ok) return void (location.href = `${search.form.action}?q=${encodeURIComponent(words)}`);
      place().innerHTML = await reply.text(); // from our own templates, which escape everything
    } catch (failure) {
      if (failure.name !== "AbortError") sentFor = "";
    }
  };
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, 120);
  });
  // Down goes into the list and through it, up goes back, Escape leaves it.
  document.addEventListener("keydown", event => {
    const links = [...document.querySelectorAll("[data-found] .people a")];
    const at = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && links.length && (at >= 0 || document.activeElement === search)) {
      event.preventDefault();
      links[Math.min(at + 1, links.length - 1)].focus();
    } else if (event.key === "ArrowUp" && at >= 0) {
      event.preventDefault();
      (at ? links[at - 1] : search).focus();
    } else if (event.key === "Escape") {
      document.querySelector(".floating")?.remove();
      sentFor = "";
      if (at >= 0) search.focus();
    }
  });
}

// Single keys, unless they were turned off here, or something is being written.
const writing = element => element.matches("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
const keys = document.querySelector("[data-keys]");
const off = () => localStorage.getItem(keysOff) === "yes";
if (keys && search) {
  const toggle = keys.querySelector("[data-keys-toggle]");
  const tell = () => {
    toggle.textContent = off() ? "Turn keys on" : "Turn keys off";
    keys.classList.toggle("are-off", off());
  };
  toggle.addEventListener("click", () => {
    localStorage.setItem(keysOff, off() ? "no" : "yes");
    tell();
  });
  keys.hidden = false;
  tell();
}
document.addEventListener("keydown", event => {
  if (off() || event.ctrlKey || event.metaKey || event.altKey || writing(event.target)) return;
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else {
    const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (wanted) {
      event.preventDefault();
      wanted.click();
    }
  }
});

// Whoever fills in what belongs to a choice has chosen it.
for (const field of document.querySelectorAll(".basis input:not([type=radio]), .much input:not([type=radio])")) {
  field.addEventListener("input", () => {
    const row = field.closest(".basis") ?? field.closest(".much").previousElementSibling;
    const choice = row?.querySelector("input[type=radio]");
    if (choice && !choice.disabled) choice.checked = true;
  });
}

// A page that waits for something looks again by itself, unless somebody is writing on it.
const again = document.querySelector("meta[name=look-again]");
if (again) {
  const look = () => (writing(document.activeElement) || search?.value !== search?.defaultValue ? wait() : location.reload());
  const wait = () => setTimeout(look, again.content * 1000);
  wait();
}

// A form that moves money is sent once, however often it is clicked. (The service sees to it too.)
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", event => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
}
// Coming back with the browser's own button shows the page as it was: let it be sent again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-once]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-disabled");
  }
});
