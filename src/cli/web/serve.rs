//! The page over HTTP, on this machine only.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use oxhttp::model::{Body, HeaderName, Method, Request, Response, StatusCode, header};
use oxhttp::{ListeningServer, Server};

use super::site::{Entry, Site};

/// Connections at a time.
const CONNECTIONS: usize = 64;

/// Where it is served: never on the network.
pub(super) fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Begins to serve.
pub(super) fn start(site: Arc<Site>, address: SocketAddr) -> std::io::Result<ListeningServer> {
    Server::new(move |request| respond(&site, request))
        .bind(address)
        .with_max_concurrent_connections(CONNECTIONS)
        .spawn()
}

fn respond(site: &Site, request: &Request<Body>) -> Response<Body> {
    if request.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET");
    }
    let name = match request.uri().path().trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let Some(entry) = site.get(name) else {
        return plain(StatusCode::NOT_FOUND, "not here");
    };
    let given = |name: HeaderName| {
        let value = request.headers().get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default()
    };
    answer(
        name,
        &entry,
        given(header::ACCEPT_ENCODING),
        given(header::IF_NONE_MATCH),
    )
}

/// The file, smaller if that is taken; nothing if the browser has it.
fn answer(name: &str, entry: &Entry, encodings: &str, known: &str) -> Response<Body> {
    let response = Response::builder()
        .header(header::CONTENT_TYPE, mime(name))
        // It is asked for each time, and answered in a line if it is still the same.
        .header(header::CACHE_CONTROL, "no-cache")
        .header(header::ETAG, &entry.tag)
        .header(header::VARY, "Accept-Encoding")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let same = known.split(',').any(|tag| tag.trim() == entry.tag);
    let built = if same {
        response
            .status(StatusCode::NOT_MODIFIED)
            .body(Body::empty())
    } else if let (Some(gzip), true) = (&entry.gzip, takes_gzip(encodings)) {
        response
            .header(header::CONTENT_ENCODING, "gzip")
            .body(Body::from(gzip.clone()))
    } else {
        response.body(Body::from(entry.bytes.clone().into_owned()))
    };
    built.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR, "a header is wrong"))
}

fn takes_gzip(encodings: &str) -> bool {
    encodings.split(',').any(|e| {
        let mut parts = e.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|p| matches!(p, "q=0" | "q=0.0"))
    })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn mime(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("txt") => "text/plain; charset=utf-8",
        Some("gz") => "application/gzip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn get(address: SocketAddr, path: &str, headers: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(all[..end].to_vec()).unwrap();
        (head.to_lowercase(), all[end..].to_vec())
    }

    #[test]
    fn files_come_with_their_type_and_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.html"), "page").unwrap();
        std::fs::write(dir.path().join("mosaec_bg.wasm"), [0; 5000]).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let site = Arc::new(Site::folder(dir.path()).unwrap());
        let _server = start(site, port).unwrap();

        let (head, body) = get(port, "/", "");
        assert!(
            head.starts_with("http/1.1 200") && head.contains("text/html"),
            "{head}"
        );
        assert_eq!(body, b"page");
        let (head, body) = get(port, "/mosaec_bg.wasm?v=1", "Accept-Encoding: br, gzip\r\n");
        assert!(
            head.contains("application/wasm") && head.contains("content-encoding: gzip"),
            "{head}"
        );
        assert!(
            head.contains(&format!("content-length: {}\r", body.len())),
            "{head}"
        );
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!(plain, [0; 5000]);
        let (head, body) = get(port, "/mosaec_bg.wasm", "Accept-Encoding: gzip;q=0\r\n");
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body.len(), 5000);
        let tag = head
            .split("etag: ")
            .nth(1)
            .unwrap()
            .split('\r')
            .next()
            .unwrap();
        let (head, body) = get(
            port,
            "/mosaec_bg.wasm",
            &format!("If-None-Match: {tag}\r\n"),
        );
        assert!(
            head.starts_with("http/1.1 304") && body.is_empty(),
            "{head}"
        );
        for path in ["/none", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
            assert!(get(port, path, "").0.starts_with("http/1.1 404"), "{path}");
        }
    }
}
