// Searching messages, one message with all that is known of it, and finding anything by a text.

import { expire, hold, move, release, sendNow } from "./acts.js";
import { get, orNull } from "./api.js";
import { h } from "./dom.js";
import { count, octets } from "./format.js";
import {
  ago,
  button,
  criteriaForm,
  explanation,
  facts,
  plain,
  queueLink,
  quiet,
  readyLink,
  section,
  table,
  time,
  to,
} from "./parts.js";
import { messages as messageTable } from "./view-queues.js";

const FIELDS = [
  { name: "recipient", label: "Recipient" },
  { name: "sender", label: "Sender" },
  { name: "queue_name", label: "Queue" },
  { name: "domain", label: "Domain" },
  { name: "tenant", label: "Tenant" },
  { name: "campaign", label: "Campaign" },
  { name: "min_age", label: "Older than", hint: "Such as 2h" },
  { name: "max_age", label: "Younger than", hint: "Such as 1d" },
  { name: "reply", label: "Last reply contains" },
  {
    name: "state",
    label: "State",
    choices: [
      ["", "any"],
      ["due", "due"],
      ["held", "held"],
      ["ready", "ready"],
      ["scheduled", "scheduled"],
    ],
  },
];

export const messages = {
  title: () => "Messages",
  // A search passes all that is queued: it is made when it is asked for, and then left alone.
  everyMs: 0,
  async load({ criteria }) {
    return get("messages/v1", { limit: 200, ...criteria });
  },
  render(found, { criteria }) {
    const shown = found.messages.length;
    const whole = found.is_complete ? "all there are" : "the search ended early: there may be more";
    return [
      criteriaForm("Which messages", FIELDS, criteria, (given) => {
        location.hash = to("messages", null, given);
      }),
      h(
        "p",
        { class: "sum" },
        `${count(shown)} messages, ${whole}; passed ${count(found.looked_at)}, read ${count(found.read)}`,
      ),
      messageTable(found.messages),
    ];
  },
};

// -- one message

const contents = new Map();

export const message = {
  title: ({ name }) => name,
  kind: "Message",
  up: ["#/messages", "Messages"],
  everyMs: 5000,
  async load({ name }) {
    const [shown, why] = await Promise.all([
      orNull(get("inspect-message/v1", { id: name })),
      orNull(get("why/v1", { id: name })),
    ]);
    return { shown: shown?.message ?? null, why };
  },
  render({ shown, why }, { name, again }) {
    if (!shown) {
      contents.delete(name);
      return quiet("The spool has no such message: it was delivered, given up, or it never was.");
    }
    const recipients = [shown.recipient].flat();
    return [
      h(
        "div",
        { class: "acts" },
        button("Send now", () => sendNow(name)),
        button("Hold", () => hold(name)),
        button("Release", () => release(name)),
        button("Move", () => move(name)),
        button("Expire", () => expire(name), { class: "danger" }),
      ),
      facts([
        ["From", h("span", { class: "name" }, shown.sender || "<>")],
        ["To", h("span", { class: "name" }, recipients.join(", "))],
        ["Queue", why?.queue_name ? queueLink(why.queue_name) : null],
        ["Place", why?.place],
        ["Received", shown.created ? [time(shown.created), " (", ago(shown.created), ")"] : null],
        ["Due", shown.due ? [time(shown.due), " (", ago(shown.due), ")"] : null],
        ["Tries", count(shown.num_attempts ?? 0)],
        ["Size", shown.size == null ? null : octets(shown.size)],
      ]),
      section("Why it waits", null, explanation(why)),
      section("Metadata", null, plain(shown.meta)),
      shown.scheduling ? section("Times it may go at", null, plain(shown.scheduling)) : null,
      section("Content", null, content(name, again)),
    ];
  },
};

function content(id, again) {
  const known = contents.get(id);
  if (known !== undefined) return h("pre", { class: "content", tabindex: "0" }, known);
  return [
    h("p", { class: "quiet" }, "Reading the content of a message leaves an entry in the audit log."),
    button("Show content", async () => {
      try {
        const shown = await get("inspect-message/v1", { id, want_body: true });
        contents.clear();
        contents.set(id, shown.message.data ?? "");
      } catch (error) {
        contents.set(id, error.message);
      }
      again();
    }),
  ];
}

// -- finding

const ID = /^[0-9a-f]{32}$/i;

/** Return where a text leads that somebody looks for. */
export function whereTo(text) {
  return ID.test(text) ? to("message", text.toLowerCase()) : to("find", text);
}

export const find = {
  title: ({ name }) => `Find ${name}`,
  everyMs: 0,
  async load({ name }) {
    const isAddress = name.includes("@");
    const [found, ...mail] = await Promise.all([
      get("queues/v1", { name, limit: 25 }),
      ...(isAddress
        ? ["recipient", "sender"].map((who) => get("messages/v1", { [who]: name, limit: 50 }))
        : []),
    ]);
    return { found, mail };
  },
  render({ found, mail }, { name }) {
    const [received, sent] = mail;
    return [
      named("Scheduled queues", queueLink, found.scheduled, found.scheduled_matching),
      named("Ready queues", readyLink, found.ready, found.ready_matching),
      received ? mailOf(`Messages to ${name}`, received) : null,
      sent ? mailOf(`Messages from ${name}`, sent) : null,
    ];
  },
};

function named(title, makeLink, rows, matching) {
  const columns = [
    { title: "Queue", kind: "name", cell: (one) => makeLink(one.queue_name) },
    { title: "Messages", kind: "num", cell: (one) => count(one.count) },
  ];
  const note = `${count(matching)} whose name contains it`;
  return section(title, { note }, table(title, columns, rows, { key: (one) => one.queue_name }));
}

function mailOf(title, found) {
  return section(title, { note: early(found) }, messageTable(found.messages));
}

function early(found) {
  return found.is_complete ? null : "the search ended early: there may be more";
}
