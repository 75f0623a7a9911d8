/** What the browser remembers from one visit to the next. */

/** The remembered value, or `otherwise`, also where storing is forbidden. */
export function remembered(key, otherwise) {
  try {
    return localStorage.getItem(key) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Remembers a value; `null` forgets it. */
export function remember(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // It holds until the page is left, then.
  }
}
