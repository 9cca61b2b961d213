// The console works without this script. It adds search as you type, keyboard shortcuts and auto-refresh.
"use strict";

const search = document.querySelector("[data-search]");
const SHORTCUTS_OFF = "newsstand.keys.off"; // in the local storage

// Search as you type: fetches only the list of results.
if (search) {
  let request = null;
  let timer = 0;
  let lastQuery = search.value.trim();
  const FAILED = "The search didn't respond. Press Enter to search.";
  const TOO_MANY = "Too many searches. Wait a moment, then continue typing.";

  // On the list of readers, the search and the filters are used together.
  const filters = document.querySelector("[data-reader-filters]");
  filters?.addEventListener("formdata", ({ formData }) => formData.set("q", search.value.trim()));
  search.form.addEventListener("formdata", ({ formData }) => {
    if (!filters) return;
    for (const name of [...formData.keys()]) if (name !== "q") formData.delete(name);
    for (const [name, value] of new FormData(filters)) if (name !== "q" && value) formData.append(name, value);
  });

  const results = () => {
    let element = document.querySelector("[data-search-results]");
    if (!element) {
      element = document.createElement("div");
      element.id = "search-results";
      element.className = "search-popup";
      element.dataset.searchResults = "";
      element.setAttribute("aria-live", "polite");
      search.form.append(element);
    }
    return element;
  };
  // The page stays as it is: somebody may be filling in a form.
  const showProblem = text => {
    const message = document.createElement("p");
    message.className = "message";
    message.textContent = text;
    results().replaceChildren(message);
    lastQuery = ""; // so that the next letter tries again
  };
  const update = async () => {
    const query = search.value.trim();
    if (query === lastQuery) return;
    lastQuery = query;
    request?.abort();
    request = new AbortController();
    const popup = document.querySelector(".search-popup");
    if (!query && popup) return popup.remove();
    for (const element of document.querySelectorAll("[data-without-query]")) element.hidden = Boolean(query);
    const url = `${search.form.action}?${new URLSearchParams(new FormData(search.form))}`;
    try {
      const response = await fetch(`${url}&part=1`, { signal: request.signal });
      if (response.redirected || !response.ok) showProblem(response.status === 429 ? TOO_MANY : FAILED);
      else results().innerHTML = await response.text(); // the template escapes everything
    } catch (error) {
      if (error.name !== "AbortError") showProblem(FAILED);
    }
  };
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(update, 120);
  });
  // Arrow keys move through the results. Escape closes them.
  document.addEventListener("keydown", event => {
    const links = [...document.querySelectorAll("[data-search-results] .results a")];
    const index = links.indexOf(document.activeElement);
    if (event.key === "ArrowDown" && links.length && (index >= 0 || document.activeElement === search)) {
      event.preventDefault();
      links[Math.min(index + 1, links.length - 1)].focus();
    } else if (event.key === "ArrowUp" && index >= 0) {
      event.preventDefault();
      (index ? links[index - 1] : search).focus();
    } else if (event.key === "Escape") {
      document.querySelector(".search-popup")?.remove();
      lastQuery = "";
      if (index >= 0) search.focus();
    }
  });
}

// Keyboard shortcuts: single keys, unless they are turned off or the person is typing.
const isTextField = element => element.matches("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]");
const shortcutsOff = () => localStorage.getItem(SHORTCUTS_OFF) === "yes";
const shortcuts = document.querySelector("[data-shortcuts]");
if (shortcuts) {
  const toggle = shortcuts.querySelector("[data-shortcuts-toggle]");
  const show = () => {
    toggle.textContent = shortcutsOff() ? "Turn on shortcuts" : "Turn off shortcuts";
    shortcuts.classList.toggle("disabled", shortcutsOff());
  };
  toggle.addEventListener("click", () => {
    localStorage.setItem(SHORTCUTS_OFF, shortcutsOff() ? "no" : "yes");
    show();
  });
  shortcuts.hidden = false;
  show();
}
document.addEventListener("keydown", event => {
  if (shortcutsOff() || event.ctrlKey || event.metaKey || event.altKey || isTextField(event.target)) return;
  if (event.key === "/" && search) {
    event.preventDefault();
    search.focus();
    search.select();
  } else {
    const target = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
    if (target) {
      event.preventDefault();
      target.click();
    }
  }
});

// Filling in a field that belongs to an option selects the option.
for (const field of document.querySelectorAll(".option input:not([type=radio]), .amount-field input:not([type=radio])")) {
  field.addEventListener("input", () => {
    const option = field.closest(".option") ?? field.closest(".amount-field").previousElementSibling;
    const radio = option?.querySelector("input[type=radio]");
    if (radio && !radio.disabled) radio.checked = true;
  });
}

// Auto-refresh, unless the person is typing.
const refresh = document.querySelector("meta[name=auto-refresh]");
if (refresh) {
  const isTyping = () => isTextField(document.activeElement) || search?.value !== search?.defaultValue;
  const schedule = () => setTimeout(() => (isTyping() ? schedule() : location.reload()), refresh.content * 1000);
  schedule();
}

// A form is submitted once, even if its button is clicked twice. (The service ensures it as well.)
for (const form of document.querySelectorAll("form[data-submit-once]")) {
  form.addEventListener("submit", event => {
    if (form.dataset.submitted) event.preventDefault();
    form.dataset.submitted = "yes";
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
}
// The browser's back button restores the page as it was, so the form can be submitted again.
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-submit-once]")) {
    delete form.dataset.submitted;
    for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-disabled");
  }
});
