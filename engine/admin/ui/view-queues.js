// Lists of queues, and one queue of each kind with all that is known of it.

import { bounceQueue, endSession, rebindQueue, suspendQueue, suspendReady, suspendSource } from "./acts.js";
import { get, nowAndThen, orNull } from "./api.js";
import { h } from "./dom.js";
import { count, rate, span } from "./format.js";
import {
  ago,
  badge,
  button,
  criteriaForm,
  explanation,
  facts,
  link,
  messageLink,
  more,
  plain,
  queueLink,
  quiet,
  readyLink,
  section,
  table,
  to,
} from "./parts.js";
import { heldUp } from "./view-overview.js";

const PAGE = 100;
const LIMIT = 10000;
const FIELDS = {
  queues: [
    { name: "name", label: "Name contains" },
    { name: "domain", label: "Domain" },
    { name: "tenant", label: "Tenant" },
    { name: "campaign", label: "Campaign" },
  ],
  "ready-queues": [
    { name: "name", label: "Name contains" },
    { name: "domain", label: "Domain" },
    { name: "source", label: "Source" },
    { name: "pool", label: "Pool" },
  ],
};

function list(view, title, kind, columns) {
  return {
    title: () => title,
    everyMs: 5000,
    async load({ criteria }) {
      const { page, ...wanted } = criteria;
      const limit = Math.min(LIMIT, (Number(page) || 1) * PAGE);
      return get("queues/v1", { ...wanted, limit });
    },
    render(found, { criteria }) {
      const page = Math.max(1, Number(criteria.page) || 1);
      const all = found[kind];
      const matching = found[`${kind}_matching`];
      const rows = all.slice((page - 1) * PAGE);
      const order = criteria.order ?? "volume";
      const sorts = {
        name: { by: "name", direction: "ascending" },
        volume: { by: "volume", direction: "descending" },
      };
      for (const sort of Object.values(sorts)) {
        sort.href = to(view, null, { ...criteria, page: "", order: sort.by });
      }
      return [
        criteriaForm(`Which ${title.toLowerCase()}`, FIELDS[view], criteria, (given) => {
          location.hash = to(view, null, { ...given, order: criteria.order });
        }),
        h(
          "p",
          { class: "sum" },
          `${count(matching)} of ${count(found[`${kind}_total`])} queues`,
          matching > PAGE ? `, page ${page}` : "",
        ),
        table(title, columns(sorts), rows, {
          key: (one) => one.queue_name,
          empty: "No queue is like that now.",
          sorted: order,
        }),
        pager(view, criteria, page, matching),
      ];
    },
  };
}

function pager(view, criteria, page, matching) {
  const last = Math.ceil(Math.min(matching, LIMIT) / PAGE);
  if (last < 2) return null;
  const step = (text, number, is) =>
    is ? link(to(view, null, { ...criteria, page: number }), text) : h("span", { class: "quiet" }, text);
  return h(
    "nav",
    { class: "pager", "aria-label": "Pages of the list" },
    step("← Previous", page - 1, page > 1),
    h("span", null, `${page} of ${count(last)}`),
    step("Next →", page + 1, page < last),
  );
}

export const queues = list("queues", "Scheduled queues", "scheduled", (sorts) => [
  { title: "Queue", kind: "name", sort: sorts.name, cell: (one) => queueLink(one.queue_name) },
  { title: "Messages", kind: "num", sort: sorts.volume, cell: (one) => count(one.count) },
  { title: "Due", kind: "num", cell: (one) => count(one.due) },
  { title: "Held", kind: "num", cell: (one) => count(one.held) },
  { title: "Held up by", kind: "text long", cell: heldUp },
]);

export const readyQueues = list("ready-queues", "Ready queues", "ready", (sorts) => [
  { title: "Queue", kind: "name", sort: sorts.name, cell: (one) => readyLink(one.queue_name) },
  { title: "Messages", kind: "num", sort: sorts.volume, cell: (one) => count(one.count) },
  { title: "Connections", kind: "num", cell: (one) => count(one.connections) },
  { title: "Source", kind: "name", cell: (one) => one.source },
  { title: "Pool", kind: "name", cell: (one) => one.pool },
  { title: "Provider", kind: "name", cell: (one) => one.provider ?? "–" },
  { title: "Held up by", kind: "text long", cell: heldUp },
]);

// -- one scheduled queue

export const queue = {
  title: ({ name }) => name,
  kind: "Scheduled queue",
  up: ["#/queues", "Scheduled queues"],
  everyMs: 5000,
  async load({ name }) {
    const [shown, why, near, held] = await Promise.all([
      orNull(get("inspect-sched-q/v1", { queue_name: name, limit: 0 })),
      orNull(get("why/v1", { queue_name: name })),
      nowAndThen(name, () => get("queues/v1", { name, limit: 100, has_empty: true })),
      get("messages/v1", { queue_name: name, limit: PAGE }),
    ]);
    return { shown, why, held, listed: near.scheduled.find((one) => one.queue_name === name) };
  },
  render({ shown, why, held, listed }, { name }) {
    const acts = [
      button("Suspend", () => suspendQueue(name)),
      button("Move its mail", () => rebindQueue(name)),
      button("Bounce", () => bounceQueue(name, shown?.num_scheduled ?? 0), { class: "danger" }),
    ];
    if (!shown) {
      return [
        h("div", { class: "acts" }, acts.slice(0, 1)),
        quiet("There is no such queue now: it is empty, or it never was."),
      ];
    }
    return [
      h("div", { class: "acts" }, acts),
      facts([
        ["Messages", count(shown.num_scheduled)],
        ["Due", listed ? count(listed.due) : null],
        ["Held", listed ? count(listed.held) : null],
        ["Suspended", listed?.suspended ? [badge("warn", "suspended"), " ", listed.suspended] : null],
        ["Bounced", listed?.bounced ? [badge("bad", "bounced"), " ", listed.bounced] : null],
        ["Last not empty", ago(shown.last_changed)],
      ]),
      section("Why it waits", null, explanation(why)),
      section("Messages", { note: messagesNote(held, shown.num_scheduled) }, messages(held.messages)),
      section("Configuration", null, more("Show", plain(shown.queue_config))),
    ];
  },
};

function messagesNote(held, all) {
  const shown = held.messages.length;
  return shown < all ? `${count(shown)} of ${count(all)}, in no order` : "in no order";
}

export function messages(rows) {
  return table(
    "Messages",
    [
      { title: "Message", kind: "name id", cell: (one) => messageLink(one.id) },
      { title: "State", kind: "text", cell: (one) => state(one) },
      { title: "From", kind: "name", cell: (one) => one.sender || "<>" },
      { title: "To", kind: "name", cell: (one) => one.recipients.join(", ") },
      { title: "Age", kind: "num", cell: (one) => ago(one.created) },
      { title: "Due", kind: "num", cell: (one) => ago(one.due) },
      { title: "Tries", kind: "num", cell: (one) => count(one.num_attempts) },
      { title: "Last reply", kind: "text long", cell: (one) => one.last_reply ?? "–" },
    ],
    rows,
    { key: (one) => one.id, empty: "No message." },
  );
}

export function state(one) {
  if (one.hold) return badge("warn", "held", `${one.hold.reason} (by ${one.hold.author})`);
  const tones = { held: "warn", due: "note", ready: "good", scheduled: "plain" };
  return badge(tones[one.state] ?? "plain", one.state);
}

// -- one ready queue

export const ready = {
  title: ({ name }) => name,
  kind: "Ready queue",
  up: ["#/ready-queues", "Ready queues"],
  everyMs: 3000,
  async load({ name }) {
    const [shown, why] = await Promise.all([
      orNull(get("inspect-ready-q/v1", { queue_name: name, include_scheduled_queues: true })),
      orNull(get("why/v1", { ready_queue: name })),
    ]);
    return { shown, why };
  },
  render({ shown, why }, { name }) {
    if (!shown) {
      return [
        h("div", { class: "acts" }, button("Suspend", () => suspendReady(name))),
        quiet("There is no such ready queue now: it is idle, or it never was."),
      ];
    }
    const { state: limits } = shown;
    return [
      h(
        "div",
        { class: "acts" },
        button("Suspend", () => suspendReady(name)),
        button("Take its source out", () => suspendSource(shown.egress_source)),
      ),
      facts([
        ["Messages", count(limits.ready_count)],
        ["Connections", count(limits.connection_count)],
        ["Source", shown.egress_source],
        ["Pool", shown.egress_pool],
        ["Protocol", shown.protocol],
        ["Routing domain", shown.routing_domain],
        ["Hosts", shown.mx ? (shown.mx.is_null ? "takes no mail" : shown.mx.hosts.join(", ")) : null],
        ["Suspended", limits.suspended ? [badge("warn", "suspended"), " ", limits.suspended] : null],
        ["Connection limit", since(limits.connection_limited)],
        ["Connection rate", since(limits.connection_rate_throttled)],
        ["Message rate", since(limits.message_rate_throttled)],
      ]),
      section("Why it does not go on", null, explanation(why)),
      section("Connections", null, sessions(name, shown.dispatchers)),
      section("Ceilings", { note: "the tightest first" }, ceilings(shown.constraints)),
      section("Fed by", null, fedBy(shown.scheduled_queue_names ?? [])),
      section("Egress path", null, more("Show", plain(shown.path_config))),
    ];
  },
};

function since(limit) {
  return limit ? [limit.context, " (", ago(limit.since), ")"] : null;
}

function sessions(queueName, rows) {
  return table(
    "Connections",
    [
      { title: "Session", kind: "name id", cell: (one) => one.session_id },
      { title: "Phase", kind: "text", cell: (one) => `${one.phase}, ${span(one.time_in_current_phase)}` },
      { title: "With", kind: "name", cell: (one) => one.detail ?? "–" },
      { title: "Age", kind: "num", cell: (one) => span(one.age) },
      { title: "Delivered", kind: "num", cell: (one) => count(one.messages_delivered) },
      { title: "Deferred", kind: "num", cell: (one) => count(one.messages_transfailed) },
      { title: "Failed", kind: "num", cell: (one) => count(one.messages_failed) },
      { title: "Rate", kind: "num", cell: (one) => `${rate(one.overall_rate_per_sec)}/s` },
      {
        title: "",
        kind: "text",
        cell: (one) =>
          button("End", () => endSession(queueName, one.session_id), {
            class: "small",
            "aria-label": `End session ${one.session_id}`,
          }),
      },
    ],
    rows,
    { key: (one) => one.session_id, empty: "No connection is open." },
  );
}

const KINDS = {
  connections: "Connections at a time",
  connection_rates: "New connections",
  message_rates: "Messages",
  source_selection_rates: "Choice of the source",
  messages: "Messages waiting, and of one connection",
};

function ceilings(constraints) {
  const rows = Object.entries(KINDS).flatMap(([kind, title]) =>
    (constraints[kind] ?? []).map((one) => ({ ...one, title })),
  );
  return table(
    "Ceilings",
    [
      { title: "What", kind: "text", cell: (one) => one.title },
      { title: "At most", kind: "num", cell: (one) => one.value },
      { title: "Set by", kind: "name", cell: (one) => (one.name ? `${one.knob}: ${one.name}` : one.knob) },
      {
        title: "Per second",
        kind: "num",
        cell: (one) => (one.per_second == null ? "–" : rate(one.per_second)),
      },
    ],
    rows,
    { key: (one) => `${one.title} ${one.knob} ${one.name ?? ""}`, empty: "Nothing limits it." },
  );
}

function fedBy(names) {
  if (!names.length) return quiet("No scheduled queue leads here now.");
  const shown = names.slice(0, PAGE);
  return [
    h("ul", { class: "names" }, shown.map((name) => h("li", { key: name }, queueLink(name)))),
    names.length > shown.length ? quiet(`and ${count(names.length - shown.length)} more`) : null,
  ];
}

