// What was ordered and by whom: suspensions and bounces, the automation, the audit log.

import { bounceScope, cancel, suspendScope, switchAutomation } from "./acts.js";
import { get } from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { levels, loadHistory } from "./history.js";
import {
  ago,
  badge,
  button,
  criteriaForm,
  facts,
  more,
  plain,
  queueLink,
  quiet,
  readyLink,
  section,
  table,
  time,
  to,
} from "./parts.js";

// -- suspensions and bounces

const KINDS = ["suspend", "suspend-ready-q", "suspend-source", "bounce"];

export const directives = {
  title: () => "Suspensions and bounces",
  everyMs: 5000,
  async load() {
    const lists = await Promise.all(KINDS.map((kind) => get(`${kind}/v1`)));
    return Object.fromEntries(KINDS.map((kind, at) => [kind, lists[at]]));
  },
  render(found) {
    return [
      h(
        "div",
        { class: "acts" },
        button("Suspend", () => suspendScope()),
        button("Bounce", () => bounceScope(), { class: "danger" }),
      ),
      section(
        "Suspended scheduled queues",
        null,
        table("Suspended scheduled queues", scopeColumns("suspend"), found.suspend, keyed),
      ),
      section("Suspended ready queues", null, named("suspend-ready-q", found, readyLink)),
      section("Egress sources that are out", null, named("suspend-source", found, String)),
      section("Bounces", null, table("Bounces", bounceColumns(), found.bounce, keyed)),
    ];
  },
};

const keyed = { key: (one) => one.id };

function named(kind, found, makeLink) {
  const title = kind === "suspend-source" ? "Source" : "Ready queue";
  return table(
    title,
    [{ title, kind: "name", cell: (one) => makeLink(one.name) }, ...commonColumns(kind, (one) => one.name)],
    found[kind],
    keyed,
  );
}

function scopeColumns(kind) {
  return [{ title: "Of what", kind: "name", cell: scope }, ...commonColumns(kind, scopeText)];
}

function bounceColumns() {
  const [first, ...rest] = scopeColumns("bounce");
  const taken = { title: "Removed", kind: "num", cell: (one) => count(one.total_bounced) };
  return [first, taken, ...rest];
}

function scope(one) {
  if (one.queue_names?.length) {
    return h("ul", { class: "names" }, one.queue_names.map((name) => h("li", null, queueLink(name))));
  }
  return scopeText(one);
}

function scopeText(one) {
  if (one.queue_names?.length) return one.queue_names.join(", ");
  const given = ["domain", "tenant", "campaign", "routing_domain"]
    .filter((name) => one[name])
    .map((name) => `${name.replace("_", " ")} ${one[name]}`);
  return given.length ? given.join(", ") : "everything";
}

function commonColumns(kind, what) {
  return [
    { title: "Reason", kind: "text", cell: (one) => one.reason },
    { title: "Author", kind: "text", cell: (one) => one.author },
    { title: "Ends", kind: "num", cell: (one) => ago(one.expires) },
    {
      title: "",
      kind: "text",
      cell: (one) =>
        button("End", () => cancel(kind, one, what(one)), {
          class: "small",
          "aria-label": `End ${what(one)}`,
        }),
    },
  ];
}

// -- the automation

export const automation = {
  title: () => "Automation",
  everyMs: 5000,
  async load() {
    const [status, found, history, shared] = await Promise.all([
      get("automation/v1"),
      get("decisions/v1", { limit: 200 }),
      loadHistory(),
      get("shared-limits/v1"),
    ]);
    return { status, found, history, shared };
  },
  render({ status, found, history, shared }) {
    const { feeds = [], ...rest } = status;
    const isOff = !rest.enabled;
    return [
      h(
        "div",
        { class: "acts" },
        button(isOff ? "Switch on" : "Switch off", () => switchAutomation(!isOff), {
          class: isOff ? null : "danger",
        }),
      ),
      facts([
        ["State", isOff ? badge("warn", "off") : badge("good", "on")],
        ["Follows", rest.subscribed_to || "nobody"],
        ["Trouble", rest.trouble ? [badge("bad", "trouble"), " ", rest.trouble] : null],
        ["Decisions in force", count(rest.decisions)],
        ["Overlay of", rest.overlay_of || "nobody"],
      ]),
      section(
        "Decisions, the last hour",
        null,
        h(
          "div",
          { class: "wide-spark" },
          sparkline(levels(history.samples, "decisions"), { name: "TSA decisions", format: count }),
        ),
      ),
      section("What it decided", { note: decidedNote(found) }, decided(found.decisions)),
      section("Records sent", null, feedTable(feeds)),
      section("Shared limits", null, more("Show", plain(shared))),
    ];
  },
};

function decidedNote({ decisions, total, kinds }) {
  const each = Object.entries(kinds).map(([kind, number]) => `${count(number)} ${kind}`);
  const rest = total > decisions.length ? `; the latest ${count(decisions.length)}` : "";
  return each.length ? each.join(", ") + rest : null;
}

function decided(rows) {
  return table(
    "Decisions",
    [
      { title: "About", kind: "name", cell: about },
      { title: "Kind", kind: "text", cell: (one) => one.kind },
      {
        title: "In force",
        kind: "text",
        cell: (one) => (one.in_force ? badge("warn", "in force") : badge("plain", "not now")),
      },
      { title: "Value", kind: "name", cell: (one) => (one.value == null ? "–" : JSON.stringify(one.value)) },
      { title: "Why", kind: "text long", cell: (one) => one.reason },
      { title: "Rule", kind: "name", cell: (one) => [one.rule, " ", one.place] },
      { title: "Known", kind: "num", cell: (one) => ago(one.first_seen) },
      { title: "Ends", kind: "num", cell: (one) => ago(one.expires) },
    ],
    rows,
    { key: (one) => `${one.origin} ${one.id}`, empty: "Nothing is decided now." },
  );
}

function about({ scope }) {
  const { ready_queue: ready, ...rest } = scope;
  const words = Object.entries(rest).map(([name, value]) => `${name.replace("_", " ")} ${value}`);
  return [ready ? readyLink(ready) : null, ready && words.length ? ", " : null, words.join(", ")];
}

function feedTable(feeds) {
  return table(
    "Records sent",
    [
      { title: "To", kind: "name", cell: (one) => one.url },
      { title: "Octets waiting", kind: "num", cell: (one) => count(one.backlog_octets) },
      { title: "Refused", kind: "num", cell: (one) => count(one.refused) },
      { title: "Given up", kind: "num", cell: (one) => count(one.given_up) },
      { title: "Trouble", kind: "text", cell: (one) => one.trouble ?? "–" },
    ],
    feeds,
    { key: (one) => one.url, empty: "Records go to no TSA." },
  );
}

// -- the audit log

const RESULTS = { done: "good", refused: "note", denied: "bad", failed: "bad" };
const FIELDS = [
  { name: "act", label: "Act begins with" },
  { name: "identity", label: "Who" },
  { name: "origin", label: "From address" },
  {
    name: "result",
    label: "Result",
    choices: [["", "any"], ...Object.keys(RESULTS).map((name) => [name, name])],
  },
];

export const audit = {
  title: () => "Audit log",
  everyMs: 10000,
  async load({ criteria }) {
    return get("audit/v1", { limit: 200, ...criteria });
  },
  render({ entries }, { criteria }) {
    return [
      criteriaForm("Which entries", FIELDS, criteria, (given) => {
        location.hash = to("audit", null, given);
      }),
      table(
        "Who did what, the latest first",
        [
          { title: "When", kind: "num", cell: (one) => time(one.time) },
          { title: "Who", kind: "name", cell: (one) => one.identity },
          { title: "From", kind: "name", cell: (one) => `${one.origin ?? ""} ${one.channel ?? ""}` },
          { title: "Act", kind: "text", cell: (one) => one.act },
          {
            title: "Result",
            kind: "text",
            cell: (one) => [
              badge(RESULTS[one.result] ?? "plain", one.result),
              one.repeats ? ` and ${count(one.repeats)} equal ones before` : null,
            ],
          },
          { title: "Arguments", kind: "text", cell: (one) => args(one.arguments) },
          { title: "Detail", kind: "text", cell: (one) => one.detail || "–" },
        ],
        entries,
        { key: (one) => `${one.time} ${one.act} ${one.detail}`, empty: "No entry is like that." },
      ),
      entries.length === 200 ? quiet("The latest 200.") : null,
    ];
  },
};

function args(values) {
  const given = Object.entries(values ?? {}).filter(
    ([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length),
  );
  if (!given.length) return "–";
  return given
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}
