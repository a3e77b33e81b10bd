// The policy of the node: what runs, what was rejected, what handlers cost; and where each option of
// an egress path comes from.

import { reloadPolicy } from "./acts.js";
import { get } from "./api.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import {
  ago,
  badge,
  button,
  criteriaForm,
  facts,
  quiet,
  readyLink,
  section,
  table,
  time,
  to,
} from "./parts.js";

export const policy = {
  title: () => "Policy",
  everyMs: 5000,
  async load() {
    return get("policy/v1");
  },
  render({ running, retired, rejected, handlers, handlers_left_out: left }) {
    return [
      h("div", { class: "acts" }, button("Load again", () => reloadPolicy())),
      rejected?.is_pending
        ? section(
            "The policy on disk was rejected",
            { class: "attention" },
            h("p", null, badge("bad", "rejected"), " ", at(rejected), ": ", rejected.message),
            quiet("What ran before goes on."),
          )
        : null,
      facts([
        ["Epoch", count(running.number)],
        ["Loaded", [time(running.loaded_at), " (", ago(running.loaded_at), ")"]],
        ["Took", `${(1000 * running.load_s).toFixed(0)} ms`],
        ["Transactions", count(running.transactions)],
        ["Files", running.files.map((one) => one.name).join(", ")],
        ["Last rejected", rejected && !rejected.is_pending ? [ago(rejected.at), " ", at(rejected)] : null],
        ["Earlier epochs", retired.length ? retired.map((one) => one.number).join(", ") : null],
      ]),
      running.warnings.length
        ? section(
            "Warnings",
            null,
            h("ul", { class: "plain" }, running.warnings.map(warning)),
          )
        : null,
      section("Handlers", { note: "since the epoch was loaded" }, handlerTable(handlers)),
      left ? quiet(`and ${count(left)} more`) : null,
    ];
  },
};

function warning(one) {
  return h("li", null, at(one), ": ", one.message);
}

function at({ file, line }) {
  return h("span", { class: "name" }, line == null ? file : `${file}:${line}`);
}

function micros(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} s`;
  return value >= 1000 ? `${(value / 1000).toFixed(1)} ms` : `${value.toFixed(0)} µs`;
}

function handlerTable(rows) {
  return table(
    "Handlers",
    [
      { title: "Event", kind: "name", cell: (one) => one.event },
      { title: "Where", kind: "name", cell: (one) => at(one) },
      { title: "Calls", kind: "num", cell: (one) => count(one.calls) },
      { title: "Errors", kind: "num", cell: (one) => count(one.errors) },
      { title: "Overruns", kind: "num", cell: (one) => count(one.overruns) },
      { title: "CPU", kind: "num", cell: (one) => micros(one.cpu_us) },
      { title: "each", kind: "num", cell: (one) => micros(one.cpu_mean_us) },
      { title: "max", kind: "num", cell: (one) => micros(one.cpu_max_us) },
      { title: "Waited each", kind: "num", cell: (one) => micros(one.wait_mean_us) },
      { title: "Last error", kind: "text long", cell: trouble },
    ],
    rows,
    { key: (one) => `${one.event} ${one.file}:${one.line} ${one.function}`, empty: "No handler." },
  );
}

function trouble({ breaker, last_error: error }) {
  const found = [];
  if (breaker?.is_open) {
    found.push(badge("bad", "not run"), breaker.until ? [" until ", time(breaker.until), " "] : " ");
  }
  if (error) found.push(ago(error.at), ", ", at(error), ": ", error.message);
  return found.length ? found : "–";
}

// -- an egress path

const FIELDS = [
  { name: "domain", label: "Domain or queue" },
  { name: "source", label: "Source" },
];

export const path = {
  title: ({ name }) => (name ? `Path to ${name}` : "Egress path"),
  // It may ask the policy and the DNS.
  everyMs: 0,
  async load({ name, criteria }) {
    return name ? get("shaping-explain/v1", { domain: name, source: criteria.source }) : {};
  },
  render(found, { name, criteria }) {
    return [
      criteriaForm("Which path", FIELDS, { domain: name ?? "", ...criteria }, (given) => {
        location.hash = to("path", given.domain, { source: given.source });
      }),
      name ? explained(found) : quiet("Each option of the path with what set it."),
    ];
  },
};

function explained(found) {
  return [
    found.note ? h("p", { class: "lead" }, found.note) : null,
    facts([
      ["Ready queue", readyLink(found.queue_name)],
      ["Source", found.source],
      ["Pool", found.pool?.name],
      ["Hosts", found.mx?.hosts.join(", ")],
      ["Answered by", found.answered_by],
      ["Providers", found.providers.join(", ")],
      ["Overlay of", found.shaping?.overlay_of],
      ["Failing", found.shaping?.failing],
    ]),
    section(
      "Options",
      null,
      table(
        "Options of the path",
        [
          {
            title: "Option",
            kind: "name",
            cell: (one) => (one.entry ? `${one.name}: ${one.entry}` : one.name),
          },
          { title: "Value", kind: "name", cell: (one) => shown(one.value) },
          { title: "From", kind: "text", cell: (one) => one.origin },
          { title: "Where", kind: "name", cell: (one) => (one.file ? [at(one), " ", one.section] : "–") },
          { title: "Why", kind: "text long", cell: why },
        ],
        found.options,
        { key: (one) => `${one.name} ${one.entry ?? ""}`, empty: "Nothing is set." },
      ),
    ),
  ];
}

function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function why({ decision, overrode, in_force: isInForce }) {
  const found = [];
  if (!isInForce) found.push(badge("note", "no effect"), " ");
  if (decision) {
    found.push(decision.reason, " ");
    if (decision.expires) found.push("(ends ", ago(decision.expires), ") ");
  }
  if (overrode.length) {
    found.push("over ", overrode.map((one) => `${shown(one.value)} of ${one.file ?? one.origin}`).join(", "));
  }
  return found.length ? found : "–";
}
