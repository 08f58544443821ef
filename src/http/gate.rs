//! Who is answered: certificates, passwords, and the name that we are asked by. The probes are open to everyone.

use super::access::{AccessRules, Login, Presented};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    header::{AUTHORIZATION, HOST},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::LazyLock,
};

/// What is known of a connection before anything was asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) from: IpAddr,
    /// Our own address that it came to.
    pub(super) to: SocketAddr,
    /// The certificate that it showed.
    pub(super) presented: Presented,
}

/// Why a request isn't answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Certificate,
    Password,
    /// Too many passwords are being checked.
    Busy,
    /// The name is none of ours.
    Name,
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Certificate => StatusCode::FORBIDDEN,
            Self::Password => StatusCode::UNAUTHORIZED,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Name => StatusCode::MISDIRECTED_REQUEST,
        }
    }

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Certificate => "a client certificate is needed; without one there are /-/healthy and /-/ready\n",
            Self::Password => "user and password are needed; without them there are /-/healthy and /-/ready\n",
            Self::Busy => "too many passwords are being checked; try again in a second\n",
            Self::Name => {
                "this is Beatwarden on a loopback address, and you asked for another host; ask for localhost, or let \
                 the proxy in front send the address it connects to as Host\n"
            }
        }
    }
}

/// Whether everyone may ask for this path.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/-/healthy" | "/healthz" | "/-/ready" | "/readyz")
}

/// Whether a request for anything but a probe is answered.
pub(super) async fn pass<T>(request: &Request<T>, caller: Caller, rules: &AccessRules) -> Result<(), Refusal> {
    if !rules.admits(caller.presented) {
        return Err(Refusal::Certificate);
    }
    if rules.asks_for_password() {
        let header = request
            .headers()
            .get(AUTHORIZATION)
            .map(hyper::header::HeaderValue::as_bytes);
        return match rules.login(header, caller.from).await {
            Login::Good => Ok(()),
            Login::Wrong => Err(Refusal::Password),
            Login::Busy => Err(Refusal::Busy),
        };
    }
    // Another site's web page can make a browser on this machine ask us, under a name that it let point here. A client that
    // comes to loopback without a password has to ask by a name that no one else can own.
    if caller.to.ip().to_canonical().is_loopback() && !is_own_name(host(request.headers(), request.uri()), &OUR_NAMES) {
        return Err(Refusal::Name);
    }
    Ok(())
}

/// A host that no one owns, neither others nor we.
const NO_HOST: &str = "nobody.invalid";

/// The host that is asked for, without its port; empty where none is named. Who names two, or one that can't be read, asks
/// for no host: the proxy in front may have looked at the other (RFC 9112, section 3.2).
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> &'a str {
    let mut named = headers
        .get_all(HOST)
        .iter()
        .map(|value| value.to_str().unwrap_or(NO_HOST));
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return NO_HOST;
    }
    let named = uri.host().or(first).unwrap_or_default();
    match named.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => named.split(':').next().unwrap_or(named),
    }
}

/// The names of this machine itself: its hostname, and what `/etc/hosts` calls its loopback addresses. As they were when
/// the first was asked for.
static OUR_NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    names_of(&read("/proc/sys/kernel/hostname"), &read("/etc/hosts"))
});

fn names_of(hostname: &str, hosts: &str) -> Vec<String> {
    let without_comment = |line: &'_ str| line.split('#').next().unwrap_or_default().to_ascii_lowercase();
    let on_loopback = |line: String| {
        let mut words = line.split_ascii_whitespace();
        let is_loopback = words.next()?.parse::<IpAddr>().ok()?.is_loopback();
        is_loopback.then(|| words.map(str::to_owned).collect::<Vec<_>>())
    };
    let mut names: Vec<String> = hosts
        .lines()
        .map(without_comment)
        .filter_map(on_loopback)
        .flatten()
        .collect();
    names.push(hostname.trim().to_ascii_lowercase());
    names.retain(|name| !name.is_empty());
    names
}

/// Addresses, names of this machine, and names that can't be had by others: those under reserved endings (RFC 6761,
/// RFC 9476 and ICANN's `internal`). Not `.local` and not a name without a dot: who answers multicast DNS, LLMNR or NetBIOS in
/// the same network has whichever of them he likes.
fn is_own_name(host: &str, ours: &[String]) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let reserved = [".localhost", ".internal", ".test", ".alt", ".svc", ".home.arpa"];
    host.is_empty()
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok()
        || ours.contains(&host)
        || reserved.iter().any(|ending| host.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn names_that_no_one_else_can_have_are_ours() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\tBox.example.org box # not evil\n# 127.0.0.1 evil\n192.0.2.7 db.lan\n::1 ip6-localhost\nnonsense\n";
        let ours = names_of("Box\n", hosts);
        let is_own_name = |host: &str| super::is_own_name(host, &ours);
        let own = "localhost LOCALHOST. 127.0.0.1 ::1 BOX box.example.org. ip6-localhost x.internal a.b.svc";
        for own in own.split(' ').chain([""]) {
            assert!(is_own_name(own), "{own}");
        }
        let foreign = "evil.example evil evil.local local a.b.svc.cluster.local box.evil.com db.lan localhost.evil.com \
                       127.0.0.1.nip.io svc.com ?.x";
        for foreign in foreign.split(' ') {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_host_is_read_without_its_port() {
        let host_of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, value.parse().expect("a header"));
            host(&headers, &Uri::from_static("/")).to_owned()
        };
        assert_eq!(host_of("localhost:12328"), "localhost");
        assert_eq!(host_of("[::1]:12328"), "::1");
        assert_eq!(host_of("evil.example"), "evil.example");
        let absolute = Uri::from_static("http://evil.example/metrics");
        assert_eq!(host(&HeaderMap::new(), &absolute), "evil.example");
        let mut two = HeaderMap::new();
        two.append(HOST, "localhost".parse().expect("a header"));
        two.append(HOST, "localhost".parse().expect("a header"));
        let unreadable = HeaderMap::from_iter([(HOST, HeaderValue::from_bytes(b"\xff").expect("a header"))]);
        for headers in [two, unreadable] {
            assert!(!is_own_name(host(&headers, &Uri::from_static("/")), &[]));
        }
    }

    proptest! {
        #[test]
        fn whatever_host_is_named_is_ours_or_foreign(bytes in proptest::collection::vec(32_u8..=255, 0..40)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = hyper::header::HeaderValue::from_bytes(&bytes) {
                headers.insert(HOST, value);
            }
            let path = Uri::from_static("/");
            let _ = is_own_name(host(&headers, &path), &[]);
        }
    }
}
