/** The parts of the page that compute something, each by itself, in the browser they are made for. */

import assert from "node:assert/strict";
import { address, testPage } from "./browser.js";

/** Runs `use` in the page, with a module of the page's. */
async function withModule(page, name, use, argument) {
  await page.goto(address);
  // As a text: the page's policy forbids it to make functions, but not us.
  return page.evaluate(`import("${address}page/${name}").then((module) => (${use})(module, ${JSON.stringify(argument)}))`);
}

testPage("escape sequences become styles or nothing", {}, async (page) => {
  const cases = [
    ["plain", [["plain", {}]]],
    ["", []],
    ["\u001b[1;31mred\u001b[0m not", [["red", { bold: true, foreground: { named: 1 } }], [" not", {}]]],
    ["\u001b[91;102mx\u001b[39;49my", [["x", { foreground: { named: 9 }, background: { named: 10 } }], ["y", {}]]],
    ["\u001b[38;5;9ma\u001b[38;5;196mb\u001b[38;5;244mc", [["a", { foreground: { named: 9 } }], ["b", { foreground: { rgb: [255, 0, 0] } }], ["c", { foreground: { rgb: [128, 128, 128] } }]]],
    ["\u001b[38;2;1;2;3ma\u001b[48:2::4:5:6mb", [["a", { foreground: { rgb: [1, 2, 3] } }], ["b", { foreground: { rgb: [1, 2, 3] }, background: { rgb: [4, 5, 6] } }]]],
    ["\u001b[38;2;1;2mx", [["x", {}]]],
    ["\u001b[38;5;256mx", [["x", {}]]],
    ["\u001b[4:3mu\u001b[4:0mv", [["u", { underline: true }], ["v", {}]]],
    ["\u001b[mx\u001b[8mhidden\u001b[5mblink", [["x", {}], ["hidden", {}], ["blink", {}]]],
    ["a\u001b[2Kb\u001b[10;20Hc\u001b(Bd\u001b]0;title\u0007e\u001b]8;;http://x\u001b\\f", [["abcdef", {}]]],
    ["cut \u001b[3", [["cut \u001b[3", {}]]],
    ["\u001b", [["\u001b", {}]]],
  ];
  const use = ({ Ansi }, texts) => texts.map((text) => new Ansi().pieces(text).map(({ text: piece, style }) => [
    piece, Object.fromEntries(Object.entries(style).filter(([, value]) => value !== null && value !== false)),
  ]));
  const found = await withModule(page, "ansi.js", use, cases.map(([text]) => text));
  cases.forEach(([text, expected], index) => {
    // Pieces that differ in nothing visible may be cut apart.
    assert.deepEqual(joined(found[index]), joined(expected), JSON.stringify(text));
  });
});

/** Neighbours of one style put together. */
function joined(pieces) {
  const result = [];
  for (const [text, style] of pieces) {
    const last = result.at(-1);
    if (last && JSON.stringify(last[1]) === JSON.stringify(style)) last[0] += text;
    else result.push([text, style]);
  }
  return result;
}

testPage("a style goes on in the next line", {}, async (page) => {
  const use = ({ Ansi }) => {
    const ansi = new Ansi();
    ansi.pieces("\u001b[32mgreen");
    return ansi.pieces("still").map(({ style }) => style.foreground);
  };
  assert.deepEqual(await withModule(page, "ansi.js", use), [{ named: 2 }]);
});

testPage("what cannot be seen is shown", {}, async (page) => {
  const cases = [
    ["plain\ttab", "plain\ttab"],
    ["a\0b\x07\x1b\r\x7f", "a\\0b\\x07\\e\\r\\x7f"],
    ["\u0085\u202e\u2066\ufeff\u200b", "U+0085U+202EU+2066U+FEFFU+200B"],
    ["ünïcödé 🎉", "ünïcödé 🎉"],
  ];
  const use = ({ visibleText }, texts) => texts.map((text) => visibleText(text));
  assert.deepEqual(await withModule(page, "text.js", use, cases.map(([text]) => text)), cases.map(([, expected]) => expected));
  const bytes = ({ fromUtf8, fromBase64 }) => fromUtf8(fromBase64("//5hwyg="));
  assert.equal(await withModule(page, "text.js", bytes), "\ufffd\ufffda\ufffd(");
});

testPage("numbers are written for people", {}, async (page) => {
  const use = ({ duration, bytes, percent, plural }) => [
    [0, 59.9, 60, 3599, 3600, 86399, 90061, -3].map(duration),
    [0, 1023, 1024, 1023 * 1024, 123456789, 2 ** 40].map(bytes),
    [0, 99.94, 99.96, 412.3].map(percent),
    [plural(1, "process", "processes"), plural(1000, "process", "processes")],
  ];
  assert.deepEqual(await withModule(page, "format.js", use), [
    ["0s", "59s", "1m 00s", "59m 59s", "1h 00m", "23h 59m", "1d 01h", "0s"],
    ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "118 MiB", "1.0 TiB"],
    ["0.0 %", "99.9 %", "100 %", "412 %"],
    ["1 process", "1,000 processes"],
  ]);
});

testPage("processes are ordered, groups kept together", {}, async (page) => {
  const use = ({ Order }) => {
    const make = (group, name, cpu, state) => ({ namespec: `${group}:${name}`, group, name, cpu, state, pid: null });
    const processes = [make("b", "10", 1, "RUNNING"), make("b", "9", 7, "RUNNING"), make("a", "x", 5, "FATAL"), make("c", "y", null, "STOPPED")];
    const order = new Order();
    const names = () => order.apply(processes).map(({ namespec }) => namespec).join(" ");
    const results = [names()];
    order.sortBy("cpu");
    results.push(names());
    order.isGrouped = false;
    results.push(names());
    order.sortBy("cpu");
    results.push(names());
    order.setFilter("B 9");
    results.push(names());
    order.setFilter("");
    order.state = "FATAL";
    return [...results, names()];
  };
  await page.goto(address);
  assert.deepEqual(await withModule(page, "order.js", use), [
    "a:x b:9 b:10 c:y",
    "b:9 b:10 a:x c:y",
    "b:9 a:x b:10 c:y",
    "b:10 a:x b:9 c:y",
    "b:9",
    "a:x",
  ]);
});
