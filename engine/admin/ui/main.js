// The frame around the views: which one is shown, how fresh it is, which colours it has.

import { connectActs } from "./acts.js";
import { clear, h, show } from "./dom.js";
import { secondsSince, span } from "./format.js";
import { loadHistory } from "./history.js";
import { Live } from "./live.js";
import { audit, automation, directives } from "./view-control.js";
import { find, message, messages, whereTo } from "./view-messages.js";
import { overview } from "./view-overview.js";
import { providers } from "./view-providers.js";
import { queue, queues, ready, readyQueues } from "./view-queues.js";

const VIEWS = {
  "": overview,
  queues,
  queue,
  "ready-queues": readyQueues,
  ready,
  messages,
  message,
  find,
  providers,
  directives,
  automation,
  audit,
};
const PAGES = [
  ["", "Overview"],
  ["queues", "Scheduled queues", "queue"],
  ["ready-queues", "Ready queues", "ready"],
  ["messages", "Messages", "message"],
  ["providers", "Providers"],
  ["directives", "Suspensions, bounces"],
  ["automation", "Automation"],
  ["audit", "Audit log"],
];

const byId = (id) => document.getElementById(id);
const announce = (text) => {
  byId("announce").textContent = text;
  const toast = h("p", { class: "toast" }, text);
  byId("banner").after(toast);
  setTimeout(() => toast.remove(), 8000);
};

// -- which view

let place = null;
let latest = null;

/** Return what an address says: the view, the name of what it is about, and criteria. */
export function parsePlace(hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, ...rest] = path.split("/");
  let name = null;
  try {
    if (rest.length) name = decodeURIComponent(rest.join("/"));
  } catch {
    name = rest.join("/");
  }
  return { view, name, criteria: Object.fromEntries(new URLSearchParams(query ?? "")) };
}

function open() {
  const isFirst = place === null;
  const dialog = byId("dialog");
  if (dialog.open) dialog.close();
  place = { ...parsePlace(location.hash), again: () => draw() };
  latest = null;
  const view = VIEWS[place.view];
  showPages(place.view);
  clear(byId("view"));
  if (!view) {
    document.title = "Not here – Cirrus";
    live.stop();
    show(byId("view"), h("h1", { tabindex: "-1" }, "There is no such page"));
    return;
  }
  document.title = `${view.title(place)} – Cirrus`;
  show(byId("view"), head(view), h("p", { class: "quiet" }, "Loading"));
  if (!isFirst) byId("view").querySelector("h1").focus();
  window.scrollTo(0, 0);
  const here = place;
  live.start(async () => {
    const found = await view.load(here);
    if (here !== place) return;
    latest = found;
    draw();
  }, view.everyMs);
}

function draw() {
  const view = VIEWS[place.view];
  if (latest === null) return;
  show(byId("view"), head(view), view.render(latest, place));
}

function head(view) {
  const up = view.upOf ? view.upOf(place) : view.up;
  const kind = view.kindOf ? view.kindOf(place) : view.kind;
  return h(
    "div",
    { class: "head", key: "head" },
    up
      ? h(
          "nav",
          { class: "crumbs", "aria-label": "Where this is" },
          h("a", { href: up[0] }, up[1]),
          h("span", { "aria-hidden": "true" }, " /"),
        )
      : null,
    h(
      "h1",
      { tabindex: "-1", class: kind ? "name" : null },
      kind ? h("span", { class: "unseen" }, `${kind} `) : null,
      view.title(place),
    ),
    view.everyMs ? null : h("button", { type: "button", on: { click: () => live.now() } }, "Search again"),
  );
}

function showPages(current) {
  const pages = byId("pages");
  show(
    pages,
    PAGES.map(([view, title, inner]) =>
      h(
        "li",
        { key: view },
        h(
          "a",
          {
            href: `#/${view}`,
            "aria-current": view === current ? "page" : inner === current ? "true" : null,
          },
          title,
        ),
      ),
    ),
  );
  // In a narrow window they are in one line, of which a part is seen.
  const chosen = pages.querySelector("[aria-current]");
  const bar = pages.parentElement;
  if (chosen) bar.scrollLeft = chosen.offsetLeft - (bar.clientWidth - chosen.offsetWidth) / 2;
}

// -- how fresh it is

let said = "";

function tellState(state) {
  const { error, at, isPaused } = state;
  let tone = "live";
  let text = "live";
  if (error?.isDenied) [tone, text] = ["bad", error.status === 401 ? "sign in" : "denied"];
  else if (error) [tone, text] = ["bad", error.isUnreachable ? "unreachable" : "error"];
  else if (at === null) [tone, text] = ["wait", "loading"];
  else if (isPaused) [tone, text] = ["wait", "paused"];
  const fresh = byId("fresh");
  fresh.className = `fresh ${tone}`;
  tickText();
  showBanner(state);
  byId("main").classList.toggle("stale", Boolean(error) && latest !== null);
  // Only changes are said aloud, and not that it goes on as it did.
  const isNews = text !== said && !(text === "loading" || (text === "live" && said === ""));
  if (isNews) byId("announce").textContent = error ? `${text}: ${error.message}` : text;
  if (text !== "loading") said = text;
}

function tickText() {
  const { error, at, isPaused } = live.state;
  const age = at === null ? null : Math.round((Date.now() - at) / 1000);
  let text = age === null ? "loading" : `live, ${age < 2 ? "now" : `${span(age)} ago`}`;
  if (isPaused && age !== null) text = `paused, as of ${span(age)} ago`;
  else if (age !== null && !VIEWS[place?.view]?.everyMs) text = `as of ${span(age)} ago`;
  if (error) text = error.isDenied ? "access denied" : error.isUnreachable ? "unreachable" : "error";
  byId("fresh-text").textContent = text;
}

function showBanner({ error, at, retryMs }) {
  const banner = byId("banner");
  banner.hidden = !error;
  if (!error) {
    clear(banner);
    return;
  }
  const title = error.isDenied
    ? "Access is denied"
    : error.isUnreachable
      ? "The node cannot be reached"
      : "The node answers with an error";
  const help = {
    401: "The node wants credentials that it knows: load this page again to be asked for them.",
    403: "You may not see this: access lists of the policy, or trusted_hosts of the listener, decide.",
  }[error.status];
  show(
    banner,
    h("strong", null, title),
    ` – ${error.message}. `,
    help ?? null,
    at && latest !== null ? ` What is shown is of ${new Date(at).toISOString().slice(11, 19)} UTC.` : null,
    retryMs ? ` Tried again every ${span(retryMs / 1000)}. ` : " ",
    h("button", { type: "button", on: { click: () => live.now() } }, "Try now"),
  );
}

const live = new Live(tellState);

async function showNode() {
  try {
    const node = await loadHistory();
    show(
      byId("node"),
      h("strong", null, node.hostname),
      h("span", { class: "note" }, ` ${node.version}, up ${span(secondsSince(node.online_since))}`),
    );
    byId("node").title = `node ${node.node_id}`;
  } catch {
    // The view tells what is wrong.
  }
}

// -- colours

const THEMES = ["auto", "light", "dark"];
const THEME = "cirrus-theme";

function setTheme(theme) {
  const root = document.documentElement;
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // Not kept, then.
  }
  showTheme();
}

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "auto";
  const button = byId("theme");
  button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[theme];
  button.setAttribute("aria-label", `Colours: ${theme === "auto" ? "as the system" : theme}`);
}

// -- at the start

byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
byId("pause").addEventListener("click", (event) => {
  const isPaused = !live.state.isPaused;
  event.currentTarget.setAttribute("aria-pressed", String(isPaused));
  event.currentTarget.textContent = isPaused ? "Go on" : "Pause";
  live.pause(isPaused);
});
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("find-text").value.trim();
  if (text) location.hash = whereTo(text);
});
byId("skip").addEventListener("click", (event) => {
  // The address is the view's: following the link would lose it.
  event.preventDefault();
  byId("main").focus();
});
connectActs({ announce, done: () => live.now() });
addEventListener("hashchange", open);
setInterval(tickText, 1000);
setInterval(showNode, 60000);
showTheme();
open();
showNode();
