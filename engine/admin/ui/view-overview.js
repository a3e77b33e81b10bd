// The first look: what is wrong, what flows, why mail is deferred, where it piles up.

import { get, nowAndThen, trouble } from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count, octets, rate, span } from "./format.js";
import { levels, loadHistory, providersOf, rateNow, rates, total } from "./history.js";
import { ago, badge, link, queueLink, quiet, section, table, to } from "./parts.js";

const TABLE_STEP = 30;

export const overview = {
  title: () => "Overview",
  everyMs: 5000,
  async load() {
    const [history, problem, queues, automation] = await Promise.all([
      loadHistory(),
      trouble(),
      nowAndThen("fullest", () => get("queues/v1", { limit: 10 })),
      get("automation/v1"),
    ]);
    return { history, problem, queues, automation };
  },
  render({ history, problem, queues, automation }) {
    const { samples } = history;
    return [
      attention(history, problem, automation),
      section("Now", { note: "rates over the last minute, lines over the last hour, or since the start" }, cards(samples)),
      h(
        "div",
        { class: "pair" },
        section("Why mail does not arrive", { note: "last hour" }, reasons(history.reasons, 12)),
        section("Providers", { note: "last hour" }, providers(samples, 12)),
      ),
      section("Fullest queues", { actions: [link("#/queues", "All queues")] }, fullest(queues)),
      section("The last hour as a table", null, hourTable(samples)),
    ];
  },
};

/** What an operator has to look at first; nothing where all is well. */
function attention({ samples }, problem, automation) {
  const last = samples.at(-1);
  const found = [];
  if (problem) found.push(["bad", "The node takes no mail", problem, null]);
  if (automation.trouble) {
    found.push(["warn", "Automation", automation.trouble, "#/automation"]);
  }
  if (last?.lag > 0.5) {
    found.push(["warn", "The node is late", `by ${last.lag.toFixed(1)} s at the last sample`, null]);
  }
  if (last?.bounces) {
    found.push(["bad", "Bounces in force", `${count(last.bounces)}: their mail is removed`, "#/directives"]);
  }
  if (last?.suspensions) {
    found.push(["warn", "Suspensions in force", `${count(last.suspensions)}: their mail is held`, "#/directives"]);
  }
  if (!found.length) return null;
  return section(
    "To look at",
    { class: "attention" },
    h(
      "ul",
      null,
      found.map(([tone, title, text, href]) =>
        h(
          "li",
          { key: title },
          badge(tone, tone === "bad" ? "now" : "note"),
          " ",
          h("strong", null, href ? link(href, title) : title),
          " – ",
          text,
        ),
      ),
    ),
  );
}

function cards(samples) {
  if (!samples.length) {
    return quiet("The node was started just now; its first sample comes within ten seconds.");
  }
  const flow = (title, name, tone, href) => {
    const points = rates(samples, name);
    return card(title, rate(rateNow(samples, name)), "/s", points, rate, tone, href, [
      `${count(total(samples, name))} in ${span(samples.reduce((sum, one) => sum + one.seconds, 0))}`,
    ]);
  };
  const level = (title, name, { format = count, tone, href, unit = "", side = [] } = {}) => {
    const last = samples.at(-1)[name];
    return card(title, format(last), unit, levels(samples, name), format, tone, href, side);
  };
  const last = samples.at(-1);
  return h(
    "ul",
    { class: "cards" },
    flow("Received", "received", "plain"),
    flow("Delivered", "delivered", "good", "#/providers"),
    flow("Deferred", "transfailed", "warn", "#/providers"),
    flow("Failed", "failed", "bad", "#/providers"),
    flow("Rejected", "rejected", "plain"),
    level("Scheduled", "scheduled", { href: "#/queues", side: [inQueues(last.scheduled_queues)] }),
    level("Ready", "ready", { href: "#/ready-queues", side: [inQueues(last.ready_queues)] }),
    level("Connections out", "sessions_out", {
      href: "#/ready-queues",
      side: [`${rate(rateNow(samples, "connections_out"))}/s new`],
    }),
    level("Connections in", "sessions_in", {
      side: [`${rate(rateNow(samples, "connections_in"))}/s new`],
    }),
    level("TSA decisions", "decisions", { href: "#/automation" }),
    level("Suspensions", "suspensions", { tone: "warn", href: "#/directives" }),
    level("Bounces", "bounces", { tone: "bad", href: "#/directives" }),
    level("Memory", "memory", { format: octets }),
    level("CPU, of one core", "cpu", { format: rate, unit: " %" }),
  );
}

function inQueues(number) {
  return `in ${count(number)} ${number === 1 ? "queue" : "queues"}`;
}

function card(title, number, unit, points, format, tone, href, side) {
  const high = Math.max(0, ...points.map(([, value]) => value));
  return h(
    "li",
    { class: `card ${tone ?? "plain"}`, key: title },
    h("h3", null, href ? link(href, title) : title),
    h("p", { class: "big" }, number, h("span", { class: "unit" }, unit)),
    sparkline(points, { name: title, format, tone }),
    h(
      "p",
      { class: "scale note" },
      h("span", null, `max ${format(high)}${unit}`),
      side.map((text) => h("span", null, text)),
    ),
  );
}

export function reasons(list, limit) {
  return table(
    "Why mail failed in the last hour",
    [
      { title: "Times", kind: "num", cell: (one) => count(one.count) },
      {
        title: "Provider",
        kind: "name",
        cell: (one) => link(to("providers", one.provider), one.provider || "–"),
      },
      {
        title: "Reply",
        kind: "text long",
        cell: (one) => [
          one.is_permanent ? badge("bad", "failed") : badge("warn", "deferred"),
          " ",
          h("span", { class: "code" }, `${one.code}${one.enhanced ? ` ${one.enhanced}` : ""}`),
          " ",
          one.text,
        ],
      },
      {
        title: "Latest",
        kind: "name queue",
        cell: (one) => [
          queueLink(one.queue_name),
          h("span", { class: "note plain" }, " ", ago(one.last)),
        ],
      },
    ],
    list.slice(0, limit),
    {
      key: (one) => `${one.is_permanent} ${one.provider} ${one.code} ${one.enhanced}`,
      empty: "No delivery failed in the last hour.",
    },
  );
}

export function providers(samples, limit) {
  return table(
    "Providers",
    [
      { title: "Provider", kind: "name", cell: (one) => link(to("providers", one.name), one.name) },
      { title: "Delivered", kind: "num", cell: (one) => count(one.delivered) },
      { title: "Deferred", kind: "num", cell: (one) => count(one.transfailed) },
      { title: "Failed", kind: "num", cell: (one) => count(one.failed) },
      { title: "Queued", kind: "num", cell: (one) => count(one.queued) },
      { title: "Conn.", kind: "num", cell: (one) => count(one.connections) },
      {
        title: "Trend",
        kind: "spark-cell",
        cell: (one) =>
          sparkline(one.rates, { name: `Delivered to ${one.name}`, format: rate, tone: "good" }),
      },
    ],
    providersOf(samples).slice(0, limit),
    { key: (one) => one.name, empty: "No mail went anywhere in the last hour." },
  );
}

function fullest(queues) {
  return table(
    "Fullest queues",
    [
      { title: "Queue", kind: "name", cell: (one) => queueLink(one.queue_name) },
      { title: "Messages", kind: "num", cell: (one) => count(one.count) },
      { title: "Due", kind: "num", cell: (one) => count(one.due) },
      { title: "Held", kind: "num", cell: (one) => count(one.held) },
      { title: "Held up by", kind: "text", cell: (one) => heldUp(one) },
    ],
    queues.scheduled,
    { key: (one) => one.queue_name, empty: "No mail waits." },
  );
}

/** What is in the way of a queue, in a few words. */
export function heldUp(queue) {
  const found = [];
  if (queue.bounced) found.push(badge("bad", "bounced"), ` ${queue.bounced} `);
  if (queue.suspended) found.push(badge("warn", "suspended"), ` ${queue.suspended} `);
  if (queue.limited_by) found.push(badge("note", "limit"), ` ${queue.limited_by} `);
  if (queue.blocked_by) found.push(queue.blocked_by);
  return found.length ? found : "–";
}

function hourTable(samples) {
  const rows = [];
  for (let end = samples.length; end > 0; end -= TABLE_STEP) {
    rows.push(samples.slice(Math.max(0, end - TABLE_STEP), end));
  }
  const sum = (title, name) => ({ title, kind: "num", cell: (row) => count(total(row, name)) });
  const last = (title, name) => ({ title, kind: "num", cell: (row) => count(row.at(-1)[name]) });
  return h(
    "details",
    null,
    h("summary", null, "What happened in five minutes each, and how it was at their end"),
    table(
      "The last hour",
      [
        { title: "Until", kind: "num", cell: (row) => row.at(-1).time.slice(11, 16) },
        sum("Received", "received"),
        sum("Delivered", "delivered"),
        sum("Deferred", "transfailed"),
        sum("Failed", "failed"),
        sum("Expired", "expired"),
        sum("Bounced", "admin_bounced"),
        sum("Rejected", "rejected"),
        last("Scheduled", "scheduled"),
        last("Ready", "ready"),
        last("Conn. out", "sessions_out"),
        last("Conn. in", "sessions_in"),
        last("Decisions", "decisions"),
        last("Suspensions", "suspensions"),
        last("Bounces", "bounces"),
      ],
      rows,
      { key: (row) => row.at(-1).time },
    ),
  );
}
