/**
 * Where the daemon is that a test or bench has started for us, and the browser that looks at it. The browser belongs to
 * this process: playwright ends it when we end, also by a signal.
 */

import path from "node:path";
import { chromium } from "playwright-core";

export const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run this by \`cargo test --test page\` or \`cargo bench --bench page\``);
  return value;
};

/** The address of the page. */
export const address = setting("PAGE_URL");

/** A file in the daemon's directory. */
export const inDirectory = (name) => path.join(setting("PAGE_DIRECTORY"), name);

/** Names that are this machine's in our browser only: that of the page, and that of somebody else's. */
export const NAME = "ops.test";
export const FOREIGN = "evil.test";

/** A browser without a window. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    // Root has no sandbox, and containers little shared memory.
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP *.test 127.0.0.1"],
  });
}
