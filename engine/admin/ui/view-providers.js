// Providers: what became of their mail in the last hour, and one of them with its replies and queues.

import { get } from "./api.js";
import { sparkline } from "./chart.js";
import { h } from "./dom.js";
import { count, percent, rate } from "./format.js";
import { loadHistory, providersOf } from "./history.js";
import { facts, quiet, readyLink, section, table } from "./parts.js";
import { heldUp, providers as providerTable, reasons } from "./view-overview.js";

export const providers = {
  title: ({ name }) => name ?? "Providers",
  kindOf: ({ name }) => (name ? "Provider" : null),
  upOf: ({ name }) => (name ? ["#/providers", "Providers"] : null),
  everyMs: 5000,
  async load({ name }) {
    const [history, queues] = await Promise.all([
      loadHistory(),
      name ? get("queues/v1", { limit: 1000 }) : null,
    ]);
    return { history, queues };
  },
  render({ history, queues }, { name }) {
    if (name) return one(history, queues, name);
    return [
      quiet("Those with the most mail, and the busiest, of each ten seconds of the last hour."),
      section("What became of their mail", null, providerTable(history.samples, 100)),
      section("What they said", null, reasons(history.reasons, 100)),
    ];
  },
};

function one(history, queues, name) {
  const row = providersOf(history.samples).find((each) => each.name === name);
  const said = history.reasons.filter((each) => each.provider === name);
  const ways = queues.ready.filter((each) => (each.provider ?? each.site_name) === name);
  const tries = row ? row.delivered + row.transfailed + row.failed : 0;
  return [
    row
      ? facts([
          ["Delivered", `${count(row.delivered)} (${percent(row.delivered, tries)})`],
          ["Deferred", `${count(row.transfailed)} (${percent(row.transfailed, tries)})`],
          ["Failed", `${count(row.failed)} (${percent(row.failed, tries)})`],
          ["Queued", count(row.queued)],
          ["Connections", count(row.connections)],
          [
            "Delivered/s",
            h(
              "div",
              { class: "wide-spark" },
              sparkline(row.rates, { name: "Delivered", format: rate, tone: "good" }),
            ),
          ],
        ])
      : quiet("It was not among those with the most to do in the last hour."),
    section("What it said", { note: "last hour" }, reasons(said, 100)),
    section(
      "Ready queues",
      { note: "of the thousand fullest" },
      table(
        "Ready queues",
        [
          { title: "Queue", kind: "name", cell: (each) => readyLink(each.queue_name) },
          { title: "Messages", kind: "num", cell: (each) => count(each.count) },
          { title: "Connections", kind: "num", cell: (each) => count(each.connections) },
          { title: "Source", kind: "name", cell: (each) => each.source },
          { title: "Held up by", kind: "text", cell: heldUp },
        ],
        ways,
        { key: (each) => each.queue_name, empty: "None is in use." },
      ),
    ),
  ];
}
