/** The processes chosen for the next action. */

export class Selection {
  /** Called after every change. */
  onchange = () => {};

  #names = new Set();
  /** Where a range begins that is chosen with the shift key. */
  #anchor = null;

  has(namespec) {
    return this.#names.has(namespec);
  }

  get size() {
    return this.#names.size;
  }

  /** In the order in which they were chosen. */
  names() {
    return [...this.#names];
  }

  /** Chooses or unchooses. */
  set(namespecs, isSelected) {
    for (const namespec of namespecs) {
      if (isSelected) this.#names.add(namespec);
      else this.#names.delete(namespec);
    }
    this.onchange();
  }

  /** One more or one less; with `isRange`, everything from the last one on, in the order of `shown`. */
  toggle(namespec, isSelected, isRange, shown) {
    const [from, to] = [shown.indexOf(this.#anchor), shown.indexOf(namespec)].sort((one, other) => one - other);
    this.set(isRange && from >= 0 ? shown.slice(from, to + 1) : [namespec], isSelected);
    this.#anchor = namespec;
  }

  clear() {
    this.set(this.names(), false);
  }
}
