// Numbers, sizes and times as operators read them. Instants are UTC, as in logs and records.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

export function count(value) {
  return Number.isFinite(value) ? whole.format(value) : "–";
}

/** A rate: more digits where it is small. */
export function rate(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  if (value < 0.1) return "<0.1";
  return value < 10 ? value.toFixed(1) : whole.format(value);
}

export function octets(value) {
  if (!Number.isFinite(value)) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${index === 0 || value >= 100 ? whole.format(value) : value.toFixed(1)} ${units[index]}`;
}

export function percent(part, all) {
  return all > 0 ? `${((100 * part) / all).toFixed(1)} %` : "–";
}

/** A length of time in its two largest units. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const left = Math.max(0, Math.round(seconds));
  const [d, h, m, s] = [
    Math.floor(left / 86400),
    Math.floor(left / 3600) % 24,
    Math.floor(left / 60) % 60,
    left % 60,
  ];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} m`;
  return m ? `${m} m ${s} s` : `${s} s`;
}

/** The time of day of an instant, with its date unless that is today's. */
export function clock(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return String(text ?? "–");
  const [date, time] = at.toISOString().split("T");
  const today = new Date().toISOString().slice(0, 10);
  return date === today ? time.slice(0, 8) : `${date} ${time.slice(0, 8)}`;
}

export function secondsSince(text, now = Date.now()) {
  return (now - new Date(text).getTime()) / 1000;
}
