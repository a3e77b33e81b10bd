// The colours that were chosen, before anything is drawn: no module, so that nothing flashes.
"use strict";
{
  const name = "cirrus-theme";
  let chosen = null;
  try {
    chosen = localStorage.getItem(name);
  } catch {
    // Storage may be forbidden; the system's colours will do.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
