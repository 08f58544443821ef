//! Which path gives what.

use super::{
    HttpState,
    access::AccessRules,
    gate::{self, Caller, Refusal},
    page::{self, Asked, REFRESH_SECONDS, Refreshing},
};
use crate::{
    metrics::{self, Scrape},
    present::{json, safe},
};
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use serde_json::Value;
use std::{io::Write, sync::Arc};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const SVG: &str = "image/svg+xml";
/// The page is one document with its own style and icon: nothing else is ever loaded, framed, run or sent.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const REALM: &str = r#"Basic realm="beatwarden", charset="UTF-8""#;
/// Below this size compression costs more than it saves.
const COMPRESS_FROM: usize = 1024;

/// An answer before it is a response.
struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: Body,
    /// The address that the browser asks for after a while, if it does. A header, since a page that says so in itself can't be
    /// stopped by it.
    refresh: Option<String>,
}

/// What is answered: made for this request, or kept from an earlier one.
enum Body {
    Made(Vec<u8>),
    Kept(Arc<Scrape>),
}

impl Body {
    fn plain(self) -> Bytes {
        match self {
            Self::Made(body) => body.into(),
            Self::Kept(scrape) => scrape.text(),
        }
    }

    fn packed(self) -> Bytes {
        match self {
            Self::Made(body) => gzip(&body).into(),
            Self::Kept(scrape) => scrape.gzip(),
        }
    }

    fn is_worth_packing(&self) -> bool {
        match self {
            Self::Made(body) => body.len() >= COMPRESS_FROM,
            Self::Kept(_) => true,
        }
    }
}

impl Answer {
    fn new(status: StatusCode, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            kind,
            body: Body::Made(body.into()),
            refresh: None,
        }
    }
}

/// Answers one request. The body of the request is never read.
pub(super) async fn answer(
    request: &Request<Incoming>,
    caller: Caller,
    rules: &AccessRules,
    state: &HttpState,
) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut refused = None;
    let answer = if !is_read {
        let text = "only GET and HEAD are answered here\n";
        Answer::new(StatusCode::METHOD_NOT_ALLOWED, TEXT, text)
    } else if gate::is_probe(path) {
        route(path, None, state)
    } else {
        match gate::pass(request, caller, rules).await {
            Ok(()) => route(path, request.uri().query(), state),
            Err(refusal) => {
                refused = Some(refusal);
                Answer::new(refusal.status(), TEXT, refusal.text())
            }
        }
    };
    let mut response = into_response(answer, request.headers(), request.method() == Method::HEAD);
    let headers = response.headers_mut();
    if !is_read {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    // The body is never read, and where it ends may be judged otherwise by a proxy in front: what comes behind it is not taken for
    // a request (RFC 9112, section 6.1).
    if !request.body().is_end_stream() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    match refused {
        Some(Refusal::Password) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(REALM));
        }
        Some(Refusal::Busy) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    for (name, value) in rules.headers() {
        // Both were checked when the file was read.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

fn route(path: &str, query: Option<&str>, state: &HttpState) -> Answer {
    match path {
        "/metrics" => Answer {
            body: Body::Kept(state.metrics.scrape()),
            ..Answer::new(StatusCode::OK, metrics::CONTENT_TYPE, "")
        },
        "/" => status_page(query, state),
        "/style.css" => Answer::new(StatusCode::OK, "text/css; charset=utf-8", page::STYLE),
        "/icon.svg" | "/favicon.ico" => Answer::new(StatusCode::OK, SVG, page::icon(query)),
        "/api/v1/status" => Answer::new(
            StatusCode::OK,
            JSON,
            document(&json::status(&state.views(), state.clock.wall(), state.version)),
        ),
        "/api/v1/repairs" => Answer::new(StatusCode::OK, JSON, document(&json::newest_repairs(&state.views()))),
        "/-/healthy" | "/healthz" => healthy(state),
        "/-/ready" | "/readyz" => ready(state),
        _ => Answer::new(
            StatusCode::NOT_FOUND,
            TEXT,
            "not here; see /, /metrics, /api/v1/status, /api/v1/repairs, /-/healthy, /-/ready\n",
        ),
    }
}

/// A document as it is sent: a reader with a terminal sees names, not what they would do to it.
fn document(value: &Value) -> String {
    safe::json(&value.to_string()).into_owned()
}

/// The page; `/?paused` is the one that stands still.
fn status_page(query: Option<&str>, state: &HttpState) -> Answer {
    let asked = Asked::from_query(query);
    state.viewed.notify_one();
    // With the address: without one, a browser whose address has a fragment (`/#job-42`) never asks again.
    let refresh = (asked.refreshing == Refreshing::On).then(|| format!("{REFRESH_SECONDS}; url={}", asked.address()));
    Answer {
        refresh,
        ..Answer::new(StatusCode::OK, HTML, page::render(state, &asked))
    }
}

/// Whether the loop of every watch turns, whatever the database does.
fn healthy(state: &HttpState) -> Answer {
    let views = state.views();
    let stuck: Vec<&str> = views
        .iter()
        .filter(|view| !view.status.turns(view.now))
        .map(|view| view.name.as_str())
        .collect();
    if stuck.is_empty() {
        Answer::new(StatusCode::OK, TEXT, "healthy\n")
    } else {
        let text = format!("the loop of {} does not turn\n", stuck.join(", "));
        Answer::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
    }
}

/// Whether every watch had a good pass lately.
fn ready(state: &HttpState) -> Answer {
    let mut waiting = String::new();
    for view in state.views().iter().filter(|view| view.current.is_none()) {
        // The kind only: probes need no password, and the words name hosts and users.
        let failure = view.status.failure.as_ref();
        let why = failure.map_or("no good pass yet", |failure| failure.failure.as_str());
        waiting.push_str(&format!("{}: {why}\n", view.name));
    }
    if waiting.is_empty() {
        Answer::new(StatusCode::OK, TEXT, "ready\n")
    } else {
        Answer::new(StatusCode::SERVICE_UNAVAILABLE, TEXT, waiting)
    }
}

fn into_response(answer: Answer, asked: &HeaderMap, head_only: bool) -> Response<Full<Bytes>> {
    let compress = answer.body.is_worth_packing() && accepts_gzip(asked);
    let refresh = answer.refresh.as_deref().map(HeaderValue::from_str);
    let body = if compress {
        answer.body.packed()
    } else {
        answer.body.plain()
    };
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(Full::new(if head_only { Bytes::new() } else { body }));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_TYPE, answer.kind),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Encoding"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LENGTH, length);
    if let Some(Ok(refresh)) = refresh {
        headers.insert(header::REFRESH, refresh);
    }
    if compress {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether the client takes gzip; `gzip;q=0` says that it doesn't.
fn accepts_gzip(asked: &HeaderMap) -> bool {
    asked
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| {
            let mut words = part.split(';').map(str::trim);
            let refused = |word: &str| matches!(word.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
            words.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip")) && !words.any(refused)
        })
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder
        .write_all(body)
        .and_then(|()| encoder.finish())
        .expect("writing to memory doesn't fail")
}
