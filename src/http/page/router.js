/** Which view is shown stands in the address, after the `#`: it can be bookmarked, and going back works. */

/** Words of the address, decoded: `#/log/web%3Aa/stdout` is `["log", "web:a", "stdout"]`. */
function words() {
  const parts = location.hash.replace(/^#\/?/, "").split("/").filter((part) => part !== "");
  try {
    return parts.map(decodeURIComponent);
  } catch {
    // Somebody typed a stray percent sign.
    return [];
  }
}

/** The address of a view. */
export function addressOf(...parts) {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** Goes to a view. */
export function go(...parts) {
  location.hash = addressOf(...parts);
}

/** Calls `show` with the words of the address, now and whenever they change. */
export function onRoute(show) {
  const route = () => show(words());
  addEventListener("hashchange", route);
  route();
}
