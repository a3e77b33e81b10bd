// The last hour of the node: fetched whole once, then only what is new.

import { get } from "./api.js";

const SAMPLES = 360;
let known = null;
let underWay = null;

/** Return the history, brought up to date; whoever asks meanwhile gets the same answer. */
export function loadHistory() {
  underWay ??= bringUpToDate().finally(() => {
    underWay = null;
  });
  return underWay;
}

async function bringUpToDate() {
  const since = known?.samples.at(-1)?.time;
  const fresh = await get("history/v1", { since, reasons: 100 });
  const isSame = known && known.online_since === fresh.online_since && known.node_id === fresh.node_id;
  if (!isSame && since) {
    known = null;
    return bringUpToDate();
  }
  const samples = [...(isSame ? known.samples : []), ...fresh.samples].slice(-SAMPLES);
  known = { ...fresh, samples };
  return known;
}

/** Return the value of each sample over its seconds. */
export function rates(samples, name) {
  return samples.map((one) => [Date.parse(one.time), one.seconds > 0 ? one[name] / one.seconds : 0]);
}

export function levels(samples, name) {
  return samples.map((one) => [Date.parse(one.time), one[name]]);
}

/** Return the mean rate of the last minute. */
export function rateNow(samples, name) {
  const last = samples.slice(-6);
  const seconds = last.reduce((sum, one) => sum + one.seconds, 0);
  return seconds > 0 ? last.reduce((sum, one) => sum + one[name], 0) / seconds : NaN;
}

export function total(samples, name) {
  return samples.reduce((sum, one) => sum + one[name], 0);
}

/** Return what each provider did in the samples, those that did or have most first. */
export function providersOf(samples) {
  const found = new Map();
  const last = samples.at(-1);
  for (const sample of samples) {
    for (const one of sample.providers) {
      const row = found.get(one.name) ?? {
        name: one.name,
        delivered: 0,
        transfailed: 0,
        failed: 0,
        queued: 0,
        connections: 0,
        points: new Map(),
      };
      row.delivered += one.delivered;
      row.transfailed += one.transfailed;
      row.failed += one.failed;
      row.points.set(sample.time, sample.seconds > 0 ? one.delivered / sample.seconds : 0);
      if (sample === last) [row.queued, row.connections] = [one.queued, one.connections];
      found.set(one.name, row);
    }
  }
  for (const row of found.values()) {
    row.rates = samples.map((one) => [Date.parse(one.time), row.points.get(one.time) ?? 0]);
  }
  const weight = (row) => row.delivered + row.transfailed + row.failed;
  return [...found.values()].sort(
    (a, b) => weight(b) - weight(a) || b.queued - a.queued || a.name.localeCompare(b.name),
  );
}
