/** How numbers and times are written. */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (number) => String(number).padStart(2, "0");

/** A length of time: its two largest units, `3m 07s`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return `${whole}s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)}m ${two(whole % MINUTE)}s`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)}h ${two(Math.floor((whole % HOUR) / MINUTE))}m`;
  return `${Math.floor(whole / DAY)}d ${two(Math.floor((whole % DAY) / HOUR))}h`;
}

/** What will happen by itself, and when: `it is started again in 8s`. Empty if nothing will. */
export function comingNext(next, now) {
  return next === null ? "" : `${next.what} in ${duration((next.at - now) / 1000)}`;
}

/** An amount of bytes, in powers of 1,024 and three digits: `12.3 MiB`. */
export function bytes(count) {
  if (count < 1024) return `${count} B`;
  let value = count;
  let unit = "";
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    if (value < 999.5) break;
    value /= 1024;
    unit = next;
  }
  return `${value < 99.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** A share of one processor. */
export function percent(value) {
  return `${value < 99.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** A number for people: `1,000`. */
export function count(number) {
  return number.toLocaleString("en");
}

/** `2 processes`. */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** The time of day. */
export function clock(milliseconds) {
  const date = new Date(milliseconds);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** The date and the time of day, as the activity log writes it. */
export function moment(milliseconds) {
  const date = new Date(milliseconds);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(milliseconds)}`;
}

/** The time of day if it was today, the day if it was not. */
export function when(milliseconds, now) {
  return isSameDay(milliseconds, now) ? clock(milliseconds) : moment(milliseconds).slice(5, 16);
}

/** The same for a narrow column. */
export function shortWhen(milliseconds, now) {
  return isSameDay(milliseconds, now) ? clock(milliseconds).slice(0, 5) : moment(milliseconds).slice(5, 10);
}

function isSameDay(one, other) {
  return new Date(one).toDateString() === new Date(other).toDateString();
}
