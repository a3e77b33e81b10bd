// What views are made of: links, tables, facts, badges, forms.

import { h } from "./dom.js";
import { clock, count, secondsSince, span } from "./format.js";

/** Return the address of a view, its parts and criteria encoded. */
export function to(view, name, criteria) {
  const given = Object.entries(criteria ?? {}).filter(([, value]) => value !== "" && value != null);
  const path = [view, ...(name === undefined || name === null ? [] : [name])];
  const text = path.map(encodeURIComponent).join("/");
  return `#/${text}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

export function link(href, ...content) {
  return h("a", { href }, ...content);
}

export function queueLink(name) {
  return h("a", { class: "name", href: to("queue", name) }, name);
}

export function readyLink(name) {
  return h("a", { class: "name", href: to("ready", name) }, name);
}

export function messageLink(id) {
  return h("a", { class: "name", href: to("message", id) }, id);
}

/** An instant: the time of day in UTC, the whole of it on pointing. */
export function time(text) {
  if (!text) return "–";
  return h("time", { datetime: text, title: text }, clock(text));
}

/** An instant by how long ago, or how far ahead, it is. */
export function ago(text) {
  if (!text) return "–";
  const seconds = secondsSince(text);
  const words = seconds >= 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
  return h("time", { datetime: text, title: text }, words);
}

export function badge(tone, text, title) {
  return h("span", { class: `badge ${tone}`, title }, text);
}

export function button(text, onclick, props) {
  return h("button", { type: "button", ...props, on: { click: onclick } }, text);
}

export function quiet(text) {
  return h("p", { class: "quiet" }, text);
}

/** A titled part of a view. */
export function section(title, props, ...content) {
  const id = `s-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  const { actions, note, ...rest } = props ?? {};
  return h(
    "section",
    { key: id, "aria-labelledby": id, ...rest },
    h(
      "div",
      { class: "section-head" },
      h("h2", { id }, title, note ? h("span", { class: "note" }, note) : null),
      actions?.length ? h("div", { class: "acts" }, ...actions) : null,
    ),
    ...content,
  );
}

/**
 * A table. A column is {title, cell, kind, sort}: `cell` returns the content of a row, `kind` is
 * "num", "name" or "text"; the first column names the row. Each row has a key.
 */
export function table(caption, columns, rows, { key, empty = "None.", sorted } = {}) {
  if (!rows.length) return quiet(empty);
  const head = columns.map(({ title, kind, sort }) => {
    const isSorted = sort !== undefined && sort.by === sorted;
    return h(
      "th",
      {
        scope: "col",
        class: kind,
        "aria-sort": isSorted ? (sort.direction ?? "descending") : null,
      },
      sort ? h("a", { class: "sort", href: sort.href }, title, isSorted ? mark(sort) : null) : title,
    );
  });
  const body = rows.map((row, at) =>
    h(
      "tr",
      { key: key ? key(row) : at },
      columns.map(({ cell, kind }, column) =>
        column === 0
          ? h("th", { scope: "row", class: kind }, cell(row))
          : h("td", { class: kind }, cell(row)),
      ),
    ),
  );
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      null,
      h("caption", { class: "unseen" }, caption),
      h("thead", null, h("tr", null, head)),
      h("tbody", null, body),
    ),
  );
}

function mark({ direction }) {
  return h("span", { "aria-hidden": "true" }, direction === "ascending" ? " ↑" : " ↓");
}

/** Facts by name; those that are null are left out. */
export function facts(pairs) {
  return h(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => h("div", { key: name }, h("dt", null, name), h("dd", null, value))),
  );
}

/** Any JSON value, readable: tables of names become facts, what is empty is left out. */
export function plain(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return Number.isInteger(value) ? count(value) : String(value);
  if (typeof value === "string") return value === "" ? "–" : value;
  if (Array.isArray(value)) {
    if (!value.length) return "–";
    if (value.every((one) => typeof one !== "object")) return value.join(", ");
    return h("ul", { class: "plain" }, value.map((one) => h("li", null, plain(one))));
  }
  const given = Object.entries(value).filter(([, one]) => !isNothing(one));
  return given.length ? facts(given.map(([name, one]) => [name, plain(one)])) : "–";
}

function isNothing(value) {
  if (value === null || value === undefined || value === "") return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Something that opens: its content is made in any case, so that a search of the page finds it. */
export function more(title, ...content) {
  return h("details", { key: title }, h("summary", null, title), ...content);
}

/** The chain of what holds something, as `why` says it. */
export function explanation(why) {
  if (!why) return quiet("Nothing is known of it now.");
  return [
    h("p", { class: "lead" }, why.summary || "Nothing holds it."),
    h("ol", { class: "reasons" }, why.reasons.map((one) => h("li", null, reason(one)))),
  ];
}

function reason(one) {
  const where = one.where ? h("span", { class: "name" }, one.where) : null;
  return [
    h("p", null, h("code", null, one.code), " ", one.text),
    facts([
      ["where", where],
      ["author", one.author],
      ["since", one.since ? [time(one.since), " (", ago(one.since), ")"] : null],
      ["until", one.until ? [time(one.until), " (", ago(one.until), ")"] : null],
      ["set by", one.knob ? h("code", null, one.value ? `${one.knob} = ${one.value}` : one.knob) : null],
      ["held by", one.held_by?.length ? one.held_by.join(", ") : null],
    ]),
  ];
}

/** A form of criteria that leads to an address; fields are {name, label, kind, choices, hint}. */
export function criteriaForm(label, fields, values, onsubmit) {
  return h(
    "form",
    {
      class: "criteria",
      "aria-label": label,
      on: {
        submit(event) {
          event.preventDefault();
          const given = Object.fromEntries(new FormData(event.currentTarget));
          onsubmit(Object.fromEntries(Object.entries(given).map(([k, v]) => [k, v.trim()])));
        },
      },
    },
    fields.map((field) => formField(field, values[field.name] ?? "", `c-${field.name}`)),
    h("button", { type: "submit" }, "Search"),
  );
}

/** A labelled field of a form. */
export function formField({ name, label, kind, choices, hint, required, wide }, value, id) {
  const props = {
    id,
    name,
    required,
    "aria-describedby": hint ? `${id}-hint` : null,
    autocomplete: "off",
    spellcheck: "false",
  };
  let control;
  if (choices) {
    control = h(
      "select",
      props,
      choices.map(([key, text]) => h("option", { value: key, selected: key === value }, text)),
    );
  } else if (kind === "check") {
    control = h("input", { ...props, type: "checkbox", value: "yes", autocomplete: null });
  } else {
    control = h("input", { ...props, type: kind ?? "text", value });
  }
  const text = h("label", { for: id }, label);
  return h(
    "div",
    { key: name, class: `field${kind === "check" ? " check" : ""}${wide ? " wide" : ""}` },
    kind === "check" ? [control, text] : [text, control],
    hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null,
  );
}
