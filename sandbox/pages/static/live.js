// Refreshes the parts of the dashboard that changed.
"use strict";
const pause = 1500;
async function refresh() {
  try {
    if (!document.hidden) {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
      document.body.dataset.live = answer.ok ? "yes" : "no";
    }
  } catch {
    document.body.dataset.live = "no";
  }
  setTimeout(refresh, pause);
}
function replace(fresh) {
  for (const old of document.querySelectorAll("[data-live-part]")) {
    const next = fresh.getElementById(old.id);
    if (!next || next.innerHTML === old.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.innerHTML = next.innerHTML;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }
}
setTimeout(refresh, pause);
