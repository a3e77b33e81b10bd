// A sparkline: an hour of a number, drawn as one line over a quiet area; less where less is known.

import { s } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 36;
const WINDOW_MS = 3600 * 1000;
const WINDOW_LEAST_MS = 600 * 1000;

/** Return corners of the line and its bounds; points are [milliseconds, value]. */
export function layOut(points, endMs, width = WIDTH, height = HEIGHT) {
  const seen = points.filter(([at, value]) => at >= endMs - WINDOW_MS && Number.isFinite(value));
  const known = seen.length ? endMs - seen[0][0] : 0;
  const windowMs = Math.max(known, WINDOW_LEAST_MS);
  const values = seen.map(([, value]) => value);
  const high = Math.max(...values, 0);
  const low = values.length ? Math.min(...values) : 0;
  const corners = seen.map(([at, value]) => [
    width * (1 - (endMs - at) / windowMs),
    height - 1 - (high > 0 ? (value / high) * (height - 3) : 0),
  ]);
  // A single point is drawn as a short line: it would not be seen.
  if (corners.length === 1) corners.unshift([corners[0][0] - 3, corners[0][1]]);
  return { corners, low, high };
}

function path(corners) {
  return corners.map(([x, y], at) => `${at ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** Return a drawing, with what it says in words for those who do not see it. */
export function sparkline(points, { name, format, tone = "plain" }) {
  const endMs = points.length ? points.at(-1)[0] : Date.now();
  const { corners, low, high } = layOut(points, endMs);
  const now = points.length ? format(points.at(-1)[1]) : "nothing yet";
  const words = `${name}, the last hour: now ${now}, lowest ${format(low)}, highest ${format(high)}`;
  const area = corners.length
    ? `${path(corners)}L${corners.at(-1)[0].toFixed(1)} ${HEIGHT}L${corners[0][0].toFixed(1)} ${HEIGHT}Z`
    : "";
  return s(
    "svg",
    {
      class: `spark ${tone}`,
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": words,
    },
    s("path", { class: "area", d: area }),
    s("path", { class: "line", d: path(corners), "vector-effect": "non-scaling-stroke" }),
  );
}
