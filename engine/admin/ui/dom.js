// Elements and how they are brought up to date. Whatever comes from the node becomes a text node or
// an attribute's value here; nothing in this page makes markup of text.

const SVG = "http://www.w3.org/2000/svg";
const KEY = Symbol("key");
const ON = Symbol("on");

function dispatch(event) {
  event.currentTarget[ON]?.[event.type]?.(event);
}

function listen(element, handlers) {
  const known = element[ON] ?? {};
  for (const type of Object.keys(handlers)) {
    if (!(type in known)) element.addEventListener(type, dispatch);
  }
  // Types that are gone stay listened to, and find no handler.
  element[ON] = { ...Object.fromEntries(Object.keys(known).map((type) => [type, null])), ...handlers };
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

function make(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") listen(element, value);
    else if (name === "key") element[KEY] = String(value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

/** Return a new element; `on` has its handlers, `key` tells it from its neighbours. */
export function h(tag, props, ...children) {
  return make(document.createElement(tag), props, children);
}

/** Return a new element of a drawing. */
export function s(tag, props, ...children) {
  return make(document.createElementNS(SVG, tag), props, children);
}

function fits(old, made) {
  return (
    old.nodeType === made.nodeType && old.nodeName === made.nodeName && old[KEY] === made[KEY]
  );
}

function update(old, made) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== made.data) old.data = made.data;
    return;
  }
  for (const { name, value } of made.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    // What somebody opened stays open.
    const isTheirs = name === "open" && old.nodeName === "DETAILS";
    if (!made.hasAttribute(name) && !isTheirs) old.removeAttribute(name);
  }
  if (made[ON]) listen(old, made[ON]);
  if (old.nodeName !== "TEXTAREA") updateChildren(old, [...made.childNodes]);
}

function updateChildren(parent, made) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (child[KEY] !== undefined) keyed.set(child[KEY], child);
  let cursor = parent.firstChild;
  for (const child of made) {
    const key = child[KEY];
    let old = key === undefined ? cursor : (keyed.get(key) ?? null);
    if (old && !fits(old, child)) old = null;
    if (!old) {
      parent.insertBefore(child, cursor);
      continue;
    }
    update(old, child);
    if (old === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(old, cursor);
    keyed.delete(key);
  }
  while (cursor) {
    const next = cursor.nextSibling;
    cursor.remove();
    cursor = next;
  }
}

/** Make the children of an element be like these, keeping what is there: focus, selection, scroll. */
export function show(parent, ...children) {
  const focused = document.activeElement;
  const holder = document.createElement("div");
  append(holder, children);
  updateChildren(parent, [...holder.childNodes]);
  const isLost = focused && focused !== document.activeElement && focused !== document.body;
  if (isLost && focused.isConnected) focused.focus({ preventScroll: true });
}

/** Remove everything in an element: the next thing shown is a new one. */
export function clear(element) {
  element.replaceChildren();
}
