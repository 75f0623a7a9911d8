/**
 * The escape sequences that terminals understand: colours and styles are taken over, the rest (moving the cursor,
 * titles, links) means nothing in a log and is left out. An escape character that begins nothing known stays, and is
 * shown as the control character it is.
 */

/** Sequences are not longer than this, in characters; what looks like a longer one is not a sequence. */
const LONGEST = 256;

const PLAIN = Object.freeze({
  foreground: null, background: null, bold: false, faint: false, italic: false, underline: false, inverse: false,
  struck: false,
});

/** A style under which nothing special is to be drawn. */
export function isPlain(style) {
  return style === PLAIN;
}

/** A style with these properties, plain in all others. */
export function styleWith(properties) {
  return { ...PLAIN, ...properties };
}

/** Reads one stream; what was switched on in one line holds in the next. */
export class Ansi {
  style = PLAIN;

  /**
   * Cuts a line into pieces of one style each.
   *
   * @returns {Array<{text: string, style: object}>}
   */
  pieces(line) {
    if (!line.includes("\u001b")) return line === "" ? [] : [{ text: line, style: this.style }];
    const pieces = [];
    let plain = "";
    const flush = () => {
      if (plain !== "") pieces.push({ text: plain, style: this.style });
      plain = "";
    };
    for (let at = 0; at < line.length; ) {
      const next = line.indexOf("\u001b", at);
      if (next !== at) {
        plain += next < 0 ? line.slice(at) : line.slice(at, next);
        if (next < 0) break;
        at = next;
      }
      const sequence = sequenceAt(line, at);
      if (sequence === null) {
        plain += line[at];
        at += 1;
        continue;
      }
      if (sequence.style !== null) {
        flush();
        this.style = styled(this.style, sequence.style);
      }
      at += sequence.length;
    }
    flush();
    return pieces;
  }
}

/** The sequence that begins here: its length, and its numbers if it is about style. */
function sequenceAt(line, at) {
  const rest = line.slice(at, at + LONGEST);
  // CSI: parameters, intermediates, one final character (ECMA-48, 5.4).
  const control = /^\u001b\[([0-?]*)[ -/]*([@-~])/.exec(rest);
  if (control !== null) {
    const isStyle = control[2] === "m" && /^[\d;:]*$/.test(control[1]);
    return { length: control[0].length, style: isStyle ? numbers(control[1]) : null };
  }
  // OSC, DCS and the like: a text up to a bell or ST.
  const text = /^\u001b[\]P^_X][^\u0007\u001b]*(?:\u0007|\u001b\\)/.exec(rest);
  if (text !== null) return { length: text[0].length, style: null };
  // Character sets, keypad modes, save and restore the cursor.
  const short = /^\u001b(?:[ -/]+[0-~]|[78=>cDEHMNOZ])/.exec(rest);
  return short === null ? null : { length: short[0].length, style: null };
}

/** `38:2::1:2:3` (ISO 8613-6, with a colour space that nobody gives) means the same as `38;2;1;2;3`. */
function numbers(parameters) {
  const list = [];
  for (const part of parameters.split(";")) {
    const pieces = part.split(":");
    if (pieces.length === 6 && pieces[1] === "2") pieces.splice(2, 1);
    // `4:0` switches underlining off, `4:3` and its like draw it in another way.
    if (pieces[0] === "4" && pieces.length === 2) list.push(pieces[1] === "0" ? 24 : 4);
    else list.push(...pieces.map(Number));
  }
  return list;
}

/** The style after a list of SGR numbers. */
function styled(style, list) {
  let next = { ...style };
  for (let index = 0; index < list.length; index += 1) {
    const number = list[index];
    if (number === 38 || number === 48) {
      const [colour, used] = extended(list, index + 1);
      if (colour !== null) next[number === 38 ? "foreground" : "background"] = colour;
      index += used;
    } else {
      next = number === 0 ? { ...PLAIN } : apply(next, number);
    }
  }
  return isSame(next, PLAIN) ? PLAIN : next;
}

function apply(style, number) {
  switch (number) {
    case 1: return { ...style, bold: true };
    case 2: return { ...style, faint: true };
    case 3: return { ...style, italic: true };
    case 4: case 21: return { ...style, underline: true };
    case 7: return { ...style, inverse: true };
    case 9: return { ...style, struck: true };
    case 22: return { ...style, bold: false, faint: false };
    case 23: return { ...style, italic: false };
    case 24: return { ...style, underline: false };
    case 27: return { ...style, inverse: false };
    case 29: return { ...style, struck: false };
    case 39: return { ...style, foreground: null };
    case 49: return { ...style, background: null };
    default: break;
  }
  if (number >= 30 && number <= 37) return { ...style, foreground: { named: number - 30 } };
  if (number >= 90 && number <= 97) return { ...style, foreground: { named: number - 90 + 8 } };
  if (number >= 40 && number <= 47) return { ...style, background: { named: number - 40 } };
  if (number >= 100 && number <= 107) return { ...style, background: { named: number - 100 + 8 } };
  // Blinking, concealing, fonts: a log is there to be read.
  return style;
}

/** `5;N` or `2;R;G;B`: the colour, and how many numbers it took. */
function extended(list, at) {
  const isByte = (number) => Number.isInteger(number) && number >= 0 && number <= 255;
  if (list[at] === 5 && isByte(list[at + 1])) return [paletteColour(list[at + 1]), 2];
  const rgb = list.slice(at + 1, at + 4);
  if (list[at] === 2 && rgb.length === 3 && rgb.every(isByte)) return [{ rgb }, 4];
  // Broken: whatever follows belongs to it.
  return [null, list.length];
}

/** The 256 colours of xterm: 16 named ones, a cube of 6 × 6 × 6, 24 greys. */
function paletteColour(index) {
  if (index < 16) return { named: index };
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return { rgb: [grey, grey, grey] };
  }
  const level = (step) => (step === 0 ? 0 : 55 + step * 40);
  const cube = index - 16;
  return { rgb: [level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6)] };
}

function isSame(one, other) {
  return Object.keys(PLAIN).every((key) => one[key] === other[key]);
}
