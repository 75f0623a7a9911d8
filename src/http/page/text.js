/**
 * Making bytes and characters visible: whatever a program writes ends up as text that shows what it is.
 */

/** The text that bytes stand for; whatever is not UTF-8 becomes U+FFFD. */
export function fromUtf8(bytes) {
  // A byte order mark is shown like everything else.
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** The bytes that base64 stands for. */
export function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

// Control characters but tab and newline; marks that change the direction of the text around them or are not seen.
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/;

/** Whether `visible` would change something; most lines it would not. */
function hasInvisible(text) {
  return INVISIBLE.test(text);
}

/**
 * Cuts text into pieces that can be shown as they are and names of characters that cannot.
 *
 * @returns {Array<{text: string, isControl: boolean}>}
 */
export function visible(text) {
  if (!hasInvisible(text)) return [{ text, isControl: false }];
  const pieces = [];
  let plain = "";
  for (const character of text) {
    if (!INVISIBLE.test(character)) {
      plain += character;
      continue;
    }
    if (plain !== "") pieces.push({ text: plain, isControl: false });
    plain = "";
    pieces.push({ text: nameOf(character), isControl: true });
  }
  if (plain !== "") pieces.push({ text: plain, isControl: false });
  return pieces;
}

const SHORT = { "\0": "\\0", "\r": "\\r", "\u001b": "\\e" };

/** A control character as programmers write it, anything else by its number. */
function nameOf(character) {
  const code = character.codePointAt(0);
  const digits = code.toString(16);
  if (code < 0x80) return SHORT[character] ?? `\\x${digits.padStart(2, "0")}`;
  return `U+${digits.toUpperCase().padStart(4, "0")}`;
}

/** `visible` as one text, for places that show no styles. */
export function visibleText(text) {
  return hasInvisible(text) ? visible(text).map((piece) => piece.text).join("") : text;
}
