//! The files of the page, compiled into the binary.

use crate::http::wire::request::Head;
use crate::http::wire::response::{Body, Response};
use std::borrow::Cow;

/// The content security policy of the page: it may load only what this server provides.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src \
                      'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    /// The name below `/page/`.
    name: &'static str,
    bytes: &'static [u8],
}

const fn asset(name: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { name, bytes }
}

/// All stylesheets in one file. Each request before the page can be shown would delay it.
const STYLES: &str = concat!(
    include_str!("colours.css"),
    include_str!("frame.css"),
    include_str!("table.css"),
    include_str!("side.css"),
    include_str!("log.css"),
    include_str!("config.css"),
    include_str!("graph.css"),
);

/// All files. The first one is the page itself.
static ASSETS: [Asset; 43] = [
    asset("index.html", include_bytes!("index.html")),
    asset("actions.js", include_bytes!("actions.js")),
    asset("ansi.js", include_bytes!("ansi.js")),
    asset("api.js", include_bytes!("api.js")),
    asset("app.js", include_bytes!("app.js")),
    asset("bindings.js", include_bytes!("bindings.js")),
    asset("chart.js", include_bytes!("chart.js")),
    asset("columns.js", include_bytes!("columns.js")),
    asset("configview.js", include_bytes!("configview.js")),
    asset("details.js", include_bytes!("details.js")),
    asset("dialogs.js", include_bytes!("dialogs.js")),
    asset("dom.js", include_bytes!("dom.js")),
    asset("feed.js", include_bytes!("feed.js")),
    asset("format.js", include_bytes!("format.js")),
    asset("graph.js", include_bytes!("graph.js")),
    asset("graphview.js", include_bytes!("graphview.js")),
    asset("headings.js", include_bytes!("headings.js")),
    asset("icon.svg", include_bytes!("icon.svg")),
    asset("keys.js", include_bytes!("keys.js")),
    asset("lines.js", include_bytes!("lines.js")),
    asset("logpage.js", include_bytes!("logpage.js")),
    asset("logsearch.js", include_bytes!("logsearch.js")),
    asset("logstream.js", include_bytes!("logstream.js")),
    asset("logview.js", include_bytes!("logview.js")),
    asset("menu.js", include_bytes!("menu.js")),
    asset("needs.js", include_bytes!("needs.js")),
    asset("notices.js", include_bytes!("notices.js")),
    asset("order.js", include_bytes!("order.js")),
    asset("page.css", STYLES.as_bytes()),
    asset("processview.js", include_bytes!("processview.js")),
    asset("router.js", include_bytes!("router.js")),
    asset("row.js", include_bytes!("row.js")),
    asset("selection.js", include_bytes!("selection.js")),
    asset("settings.js", include_bytes!("settings.js")),
    asset("states.js", include_bytes!("states.js")),
    asset("status.js", include_bytes!("status.js")),
    asset("store.js", include_bytes!("store.js")),
    asset("table.js", include_bytes!("table.js")),
    asset("text.js", include_bytes!("text.js")),
    asset("theme-early.js", include_bytes!("theme-early.js")),
    asset("theme.js", include_bytes!("theme.js")),
    asset("timeline.js", include_bytes!("timeline.js")),
    asset("wire.js", include_bytes!("wire.js")),
];

/// The file under a path: the page itself under `/` and `/index.html`, the others under `/page/`.
pub(crate) fn find(path: &[&str]) -> Option<&'static Asset> {
    match path {
        [""] | ["index.html"] => ASSETS.first(),
        ["page", name @ ..] => {
            let name = name.join("/");
            ASSETS.iter().find(|asset| asset.name == name)
        }
        _ => None,
    }
}

impl Asset {
    /// The file, or 304 if the browser has it.
    pub(crate) fn response(&self, head: &Head) -> Response {
        let is_page = self.name == ASSETS[0].name;
        let base = if is_page { base(head) } else { String::new() };
        let bytes =
            if base.is_empty() { Cow::Borrowed(self.bytes) } else { Cow::Owned(below(&base, self.bytes)) };
        let tag = format!("\"{:016x}\"", hash(&bytes));
        let known = head.header("if-none-match").unwrap_or_default();
        let is_known = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
        let (status, bytes) = if is_known { (304, Vec::new()) } else { (200, bytes.into_owned()) };
        let response = Response::new(status, self.content_type(), Body::Whole(bytes))
            .with_header("ETag", tag)
            // Browsers may keep it but must revalidate, because an upgrade brings another one.
            .with_header("Cache-Control", "no-cache")
            .with_header("Content-Security-Policy", POLICY)
            .with_header("X-Content-Type-Options", "nosniff")
            .with_header("X-Frame-Options", "DENY")
            // Not less than this: without a referrer browsers send `Origin: null` with forms, which is nobody's.
            .with_header("Referrer-Policy", "same-origin")
            .with_header("Cross-Origin-Resource-Policy", "same-origin")
            .with_header("Cross-Origin-Opener-Policy", "same-origin");
        if is_page { response.with_header("Vary", "X-Forwarded-Prefix") } else { response }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "ico" => "image/x-icon",
            "json" | "webmanifest" => "application/json",
            "woff2" => "font/woff2",
            _ => "text/plain; charset=utf-8",
        }
    }
}

/// The longest path prefix of a proxy that is accepted, in bytes.
const BASE_MAX: usize = 256;

/// The path under which a proxy publishes our `/`; empty if that is `/` as well, or if the proxy does not say.
///
/// The addresses in the page are relative, so it works without this wherever its own ends with a slash. Proxies say it in
/// `X-Forwarded-Prefix`, each the part that it cut off, the first of them first; others put it behind the name in `Host`.
/// It comes from them or not at all: no page can make a browser add it to a request for a document.
fn base(head: &Head) -> String {
    let prefixes = head.values("x-forwarded-prefix").flat_map(|list| list.split(','));
    let mut base: String = prefixes.map(|prefix| prefix.trim().trim_end_matches('/')).collect();
    if base.is_empty() {
        let path = head.header("host").and_then(|host| host.split_once('/')).map(|(_, path)| path);
        base = path.map(|path| format!("/{}", path.trim_end_matches('/'))).unwrap_or_default();
    }
    // Nothing that ends an attribute, names another host, or leads elsewhere.
    let is_segment = |segment: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~%@+:".contains(c);
        !matches!(segment, "" | "." | "..") && segment.chars().all(is_plain)
    };
    let is_path = base.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment));
    if is_path && base.len() <= BASE_MAX { base } else { String::new() }
}

/// The page with its files at a path. Its scripts find everything else from where they are themselves.
fn below(base: &str, page: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(page).replace("=\"page/", &format!("=\"{base}/page/")).into_bytes()
}

/// FNV-1a. Distinguishes versions of a file; needs no cryptographic strength.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_there_and_nothing_else() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/page");
        let files: Vec<String> = std::fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.ends_with(".rs"))
            .collect();
        let (styles, mut files): (Vec<String>, Vec<String>) =
            files.into_iter().partition(|name| name.ends_with(".css"));
        for name in styles {
            let text = std::fs::read_to_string(directory.join(&name)).unwrap();
            assert!(STYLES.contains(&text), "{name}");
        }
        let mut names: Vec<String> =
            ASSETS.iter().map(|asset| asset.name.to_string()).filter(|name| name != "page.css").collect();
        files.sort();
        names.sort();
        assert_eq!(files, names);
        assert_eq!(find(&[""]).unwrap().name, "index.html");
        assert_eq!(find(&["page", "app.js"]).unwrap().content_type(), "text/javascript; charset=utf-8");
        assert_eq!(find(&["page", "assets.rs"]), None);
    }

    #[test]
    fn the_page_is_where_the_proxy_says() {
        for (headers, expected) in [
            ("", ""),
            ("Host: box:80\r\n", ""),
            ("X-Forwarded-Prefix: /sup\r\n", "/sup"),
            ("X-Forwarded-Prefix: /sup/\r\n", "/sup"),
            ("X-Forwarded-Prefix: /\r\nHost: box/\r\n", ""),
            ("X-Forwarded-Prefix: /a, /b/c\r\nX-Forwarded-Prefix: /d\r\n", "/a/b/c/d"),
            ("Host: box:80/supervisor\r\n", "/supervisor"),
            ("X-Forwarded-Prefix: /a\r\nHost: box/b\r\n", "/a"),
            ("X-Forwarded-Prefix: //evil.example\r\n", ""),
            ("X-Forwarded-Prefix: https://evil.example\r\n", ""),
            ("X-Forwarded-Prefix: /a/../b\r\n", ""),
            ("X-Forwarded-Prefix: /\"><script>\r\n", ""),
            ("X-Forwarded-Prefix: /\\evil.example\r\n", ""),
            ("Host: box//evil.example\r\n", ""),
        ] {
            let text = format!("GET / HTTP/1.1\r\n{headers}\r\n");
            let head = Head::parse(text.as_bytes()).unwrap().unwrap().0;
            assert_eq!(base(&head), expected, "{headers:?}");
        }
        let page = String::from_utf8(below("/sup", ASSETS[0].bytes)).unwrap();
        assert!(page.contains("<script type=\"module\" src=\"/sup/page/app.js\">"), "{page}");
        assert!(!page.contains("=\"page/"));
    }

    #[test]
    fn every_module_is_fetched_at_once() {
        let page = std::str::from_utf8(ASSETS[0].bytes).unwrap();
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".js")) {
            let address = format!("=\"page/{}\"", asset.name);
            assert!(page.contains(&address), "index.html does not name {}", asset.name);
        }
    }
}
