/**
 * Making and changing elements. Data reaches the page through here only, and always as text: there is no
 * `innerHTML` anywhere.
 */

/**
 * Makes an element.
 *
 * @param {string} tag
 * @param {Object<string, string|number|boolean|function|null|undefined>} attributes  a function becomes a listener
 *   for the event the key names; `true` gives an empty attribute; `false`, `null` and `undefined` give none
 * @param {...(Node|string|number|null|undefined|false)} children  whatever is no node becomes text
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** `make` for an element of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else setAttribute(element, name, value);
  }
  for (const child of children) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false) element.append(String(child));
  }
  return element;
}

/** Sets an attribute, or takes it away; does nothing if that is how it is already. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** Sets the text of an element that contains nothing else; costs nothing if it is the same. */
export function setText(element, text) {
  const node = element.firstChild;
  if (node === null) {
    if (text !== "") element.append(text);
  } else if (node.data !== text) {
    node.data = text;
  }
}

/** The element with this id, which the document has. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Makes `parent` contain exactly `wanted`, in this order, moving as few elements as is easily found out: an
 * element that stays where it is keeps its focus and its scroll position.
 */
export function arrange(parent, wanted) {
  let here = parent.firstChild;
  for (const element of wanted) {
    if (element === here) {
      here = here.nextSibling;
    } else if (here !== null && element === here.nextSibling) {
      // The one that stood here goes away or further down; everything after it is in place.
      here.remove();
      here = element.nextSibling;
    } else {
      parent.insertBefore(element, here);
    }
  }
  while (here !== null) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

/** Calls `work` once before the next picture, however often it was asked to; also where no pictures are drawn. */
export function oncePerFrame(work) {
  let due = false;
  const run = () => {
    if (!due) return;
    due = false;
    work();
  };
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(run);
    // A page that is not shown draws no pictures, but what it shows is to be right when it is.
    if (document.hidden) setTimeout(run, 200);
  };
}
