// What an operator may do: each act is a dialog that says what will happen, asks why, and does it.

import { ApiError, post, remove } from "./api.js";
import { clear, h } from "./dom.js";
import { count } from "./format.js";
import { formField } from "./parts.js";

const REASON = {
  name: "reason",
  label: "Reason",
  required: true,
  wide: true,
  hint: "For the audit log, records and whoever looks at it at night.",
};
const DURATION = {
  name: "duration",
  label: "For how long",
  required: true,
  hint: "Such as 30m, 2h or 1d.",
};
const SCOPE = [
  { name: "domain", label: "Domain" },
  { name: "tenant", label: "Tenant" },
  { name: "campaign", label: "Campaign" },
];
const ROUTING = { name: "routing_domain", label: "Routing domain" };
const META = [
  ROUTING,
  { name: "tenant", label: "Tenant" },
  { name: "campaign", label: "Campaign" },
  { name: "queue", label: "Queue", hint: "A whole name of a queue; it wins over the others." },
];

let announce = () => {};
let done = () => {};

/** Say how what was done is told, and what is to be looked at again then. */
export function connectActs(ports) {
  ({ announce, done } = ports);
}

/**
 * Open a dialog. `act` is given what was filled in and returns what to say; `fields` are those of
 * parts.formField, `values` what they begin with, `danger` what has to be ticked first.
 */
function open({ title, text, fields, values = {}, danger, verb, act }) {
  const dialog = document.getElementById("dialog");
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { type: "submit", class: danger ? "danger" : "main" }, verb);
  const all = danger
    ? [...fields, { name: "sure", label: danger, kind: "check", required: true, wide: true }]
    : fields;
  async function onsubmit(event) {
    event.preventDefault();
    const form = event.currentTarget;
    const given = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, value.trim()]),
    );
    delete given.sure;
    submit.disabled = true;
    problem.textContent = "";
    try {
      const said = await act(given);
      dialog.close();
      announce(said);
      done();
    } catch (error) {
      if (!(error instanceof ApiError)) console.error(error);
      problem.textContent = error.field ? `${error.field}: ${error.message}` : error.message;
      if (error.field) form.elements.namedItem(error.field)?.focus?.();
    } finally {
      submit.disabled = false;
    }
  }
  clear(dialog);
  dialog.append(
    h(
      "form",
      { on: { submit: onsubmit } },
      h("h2", { id: "dialog-title" }, title),
      text ? h("p", { class: "what" }, text) : null,
      h(
        "div",
        { class: "fields" },
        all.map((field) => formField(field, values[field.name] ?? "", `d-${field.name}`)),
      ),
      problem,
      h(
        "div",
        { class: "acts" },
        h("button", { type: "button", on: { click: () => dialog.close() } }, "Leave it"),
        submit,
      ),
    ),
  );
  dialog.showModal();
  dialog.querySelector("input, select")?.focus();
}

function given(values) {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ""));
}

function whom(scope) {
  const named = Object.entries(scope).map(([name, value]) => `${name} ${value}`);
  return named.length ? named.join(", ") : "all mail of this node";
}

// -- scheduled queues

/** Suspend one queue by its name. */
export function suspendQueue(name) {
  open({
    title: "Suspend a queue",
    text: `Mail of ${name} is held until then, and keeps its count of attempts.`,
    fields: [DURATION, REASON],
    values: { duration: "1h" },
    verb: "Suspend",
    async act(values) {
      await post("suspend/v1", { ...values, queue_names: [name] });
      return `Suspended ${name}`;
    },
  });
}

export function suspendScope() {
  open({
    title: "Suspend scheduled queues",
    text: "What is left out matches everything.",
    fields: [...SCOPE, DURATION, REASON],
    values: { duration: "1h" },
    verb: "Suspend",
    async act({ duration, reason, ...scope }) {
      await post("suspend/v1", { ...given(scope), duration, reason });
      return `Suspended ${whom(given(scope))}`;
    },
  });
}

export function bounceQueue(name, waiting) {
  open({
    title: "Bounce a queue",
    text: `All mail of ${name}, ${count(waiting)} messages now, is removed, and what comes until then.`,
    fields: [DURATION, REASON],
    values: { duration: "5m" },
    danger: "Remove this mail for good",
    verb: "Bounce",
    async act(values) {
      const made = await post("bounce/v1", { ...values, queue_names: [name] });
      return `Bounced ${count(made.total_bounced)} messages of ${name} so far`;
    },
  });
}

export function bounceScope() {
  open({
    title: "Bounce mail",
    text: "Mail of these queues is removed, and what comes until then. What is left out matches everything.",
    fields: [...SCOPE, ROUTING, DURATION, REASON],
    values: { duration: "5m" },
    danger: "Remove this mail for good",
    verb: "Bounce",
    async act({ duration, reason, ...scope }) {
      const made = await post("bounce/v1", { ...given(scope), duration, reason });
      return `Bounced ${count(made.total_bounced)} messages so far: ${whom(given(scope))}`;
    },
  });
}

export function rebindQueue(name) {
  open({
    title: "Move the mail of a queue",
    text: `All messages of ${name} get this metadata, and by that another queue.`,
    fields: [...META, REASON],
    danger: "Move all of it",
    verb: "Move",
    async act({ reason, ...data }) {
      const made = await post("rebind/v1", { reason, data: given(data), queue_names: [name] });
      const rest = made.is_complete ? "" : "; the rest follows";
      return `Moved ${count(made.moved)} of ${count(made.seen)} messages${rest}`;
    },
  });
}

// -- ready queues and sources

export function suspendReady(name) {
  open({
    title: "Suspend a ready queue",
    text: `Nothing leaves by ${name} until then.`,
    fields: [DURATION, REASON],
    values: { duration: "1h" },
    verb: "Suspend",
    async act(values) {
      await post("suspend-ready-q/v1", { ...values, name });
      return `Suspended ${name}`;
    },
  });
}

export function suspendSource(name) {
  open({
    title: "Take an egress source out",
    text: `Mail of ${name} leaves by the others of its pools, and is held where there are none.`,
    fields: [DURATION, REASON],
    values: { duration: "1h" },
    verb: "Take it out",
    async act(values) {
      await post("suspend-source/v1", { ...values, name });
      return `Took ${name} out`;
    },
  });
}

export function endSession(queue, session) {
  open({
    title: "End a session",
    text: `Session ${session} of ${queue} ends; its message is tried again.`,
    fields: [],
    danger: "End it",
    verb: "End session",
    async act() {
      await post("abort-ready-q-conn/v1", { queue_name: queue, session_id: session });
      return "Ended the session";
    },
  });
}

/** End a directive; `kind` is the endpoint it came from. */
export function cancel(kind, one, what) {
  open({
    title: "End it now",
    text: `${what}: ${one.reason} (by ${one.author}). It would end by itself at ${one.expires}.`,
    fields: [],
    danger: "Let this mail go on",
    verb: "End it",
    async act() {
      await remove(`${kind}/v1`, { id: one.id });
      return `Ended: ${what}`;
    },
  });
}

// -- single messages

export function hold(id) {
  open({
    title: "Hold a message",
    text: "It is held, over restarts too, until somebody releases it or the time is over.",
    fields: [{ ...DURATION, required: false, hint: "Such as 2h; nothing: until it is released." }, REASON],
    verb: "Hold",
    async act(values) {
      await post("hold/v1", { id, ...given(values) });
      return `Holds ${id}`;
    },
  });
}

export function release(id) {
  message("release/v1", id, "Release a message", "It is held no longer, and due at once.", "Release");
}

export function sendNow(id) {
  message("send-now/v1", id, "Send a message now", "It is due at once, whatever its schedule says.", "Send now");
}

function message(path, id, title, text, verb) {
  open({
    title,
    text,
    fields: [REASON],
    verb,
    async act({ reason }) {
      await post(path, { id, reason });
      return `${verb}: ${id}`;
    },
  });
}

export function expire(id) {
  open({
    title: "Give a message up",
    text: "It leaves the node with an Expiration record, and a bounce where one is due.",
    fields: [REASON],
    danger: "Give it up for good",
    verb: "Expire",
    async act({ reason }) {
      await post("expire/v1", { id, reason });
      return `Gave ${id} up`;
    },
  });
}

export function move(id) {
  open({
    title: "Move a message",
    text: "It gets this metadata, and by that another queue.",
    fields: [...META, REASON],
    verb: "Move",
    async act({ reason, ...data }) {
      const made = await post("move/v1", { id, reason, data: given(data) });
      return `Moved to ${made.queue_name}`;
    },
  });
}

// -- the automation

export function switchAutomation(isOn) {
  open({
    title: isOn ? "Switch the automation off" : "Switch the automation on",
    text: isOn
      ? "Decisions of the TSA count no more on this node; records go on to it."
      : "Decisions of the TSA count again on this node.",
    fields: [],
    danger: isOn ? "Obey nobody" : "Obey it again",
    verb: isOn ? "Switch off" : "Switch on",
    async act() {
      await post("automation/v1", { enabled: !isOn });
      return isOn ? "The automation is off" : "The automation is on";
    },
  });
}
