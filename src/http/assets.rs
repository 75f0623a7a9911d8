//! The files of the page, which are part of the binary.

use super::request::Head;
use super::response::{Body, Response};

/// What the page may load and do: what this server gives it, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src \
                      'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    /// Below `/page/`.
    name: &'static str,
    bytes: &'static [u8],
}

const fn asset(name: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { name, bytes }
}

/// Every file there is. The first one is the page itself.
static ASSETS: [Asset; 3] = [
    asset("index.html", include_bytes!("page/index.html")),
    asset("app.css", include_bytes!("page/app.css")),
    asset("app.js", include_bytes!("page/app.js")),
];

/// The file under a path: the page itself under `/` and `/index.html`, the others under `/page/`.
pub fn find(path: &[&str]) -> Option<&'static Asset> {
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
    /// The file, or word that it is the one the browser has.
    pub fn response(&self, head: &Head) -> Response {
        let tag = format!("\"{:016x}\"", hash(self.bytes));
        let known = head.header("if-none-match").unwrap_or_default();
        let is_known = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
        let (status, bytes) = if is_known { (304, Vec::new()) } else { (200, self.bytes.to_vec()) };
        Response::new(status, self.content_type(), Body::Whole(bytes))
            .with_header("ETag", tag)
            // It may be kept, and is asked for again each time: an upgrade brings another one.
            .with_header("Cache-Control", "no-cache")
            .with_header("Content-Security-Policy", POLICY)
            .with_header("X-Content-Type-Options", "nosniff")
            .with_header("X-Frame-Options", "DENY")
            .with_header("Referrer-Policy", "no-referrer")
            .with_header("Cross-Origin-Resource-Policy", "same-origin")
            .with_header("Cross-Origin-Opener-Policy", "same-origin")
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

/// FNV-1a: tells one version of a file from another, and keeps no secret.
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
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut names: Vec<String> = ASSETS.iter().map(|asset| asset.name.to_string()).collect();
        files.sort();
        names.sort();
        assert_eq!(files, names);
        assert_eq!(find(&[""]).unwrap().name, "index.html");
        assert_eq!(find(&["page", "app.js"]).unwrap().content_type(), "text/javascript; charset=utf-8");
        assert_eq!(find(&["page", "..", "assets.rs"]), None);
    }
}
