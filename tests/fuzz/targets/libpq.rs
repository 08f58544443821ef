//! libpq as a second reader of URLs.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char, c_int},
    ptr,
};
use tokio_postgres::config::{Config, Host};

/// `PQconninfoOption`.
#[repr(C)]
struct Keyword {
    name: *const c_char,
    variable: *const c_char,
    compiled: *const c_char,
    value: *const c_char,
    label: *const c_char,
    kind: *const c_char,
    size: c_int,
}

#[link(name = "pq")]
unsafe extern "C" {
    fn PQconninfoParse(text: *const c_char, problem: *mut *mut c_char) -> *mut Keyword;
    fn PQconninfoFree(keywords: *mut Keyword);
    fn PQfreemem(text: *mut c_char);
}

/// What a URL says, by libpq; `None` where it refuses it.
fn read(url: &str) -> Option<BTreeMap<String, String>> {
    let url = CString::new(url).ok()?;
    let text = |text: *const c_char| {
        // SAFETY: libpq's texts end with a NUL.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    let (mut said, mut problem) = (BTreeMap::new(), ptr::null_mut());
    // SAFETY: both arguments live as long as the call; the list ends with a keyword without a name and is freed once.
    unsafe {
        let keywords = PQconninfoParse(url.as_ptr(), &raw mut problem);
        if keywords.is_null() {
            PQfreemem(problem);
            return None;
        }
        let mut keyword = keywords;
        while let Some(name) = text((*keyword).name) {
            said.extend(text((*keyword).value).map(|value| (name, value)));
            keyword = keyword.add(1);
        }
        PQconninfoFree(keywords);
    }
    Some(said)
}

/// Demands that libpq would have gone to the same server, as the same user, as the driver does that is given `ours`.
pub fn agrees(url: &str, ours: &str) {
    /// Keywords that libpq knows since 16 and 17 alone.
    const NEWER: [&str; 3] = ["load_balance_hosts", "sslnegotiation", "sslcertmode"];
    // Several `host=` are SQLAlchemy's way to write a list; libpq would take the last for a name with a colon.
    if NEWER.iter().any(|name| ours.contains(name)) || url.matches("host=").count() > 1 {
        return;
    }
    // What libpq refuses is read as SQLAlchemy reads it; a port that is none, and a host with an `@` or a port, it refuses when it
    // connects.
    let Some(said) = read(url) else { return };
    let is_none = |host: &str| host.contains('@') || !host.contains('/') && host.matches(':').count() == 1;
    if said.get("host").is_some_and(|hosts| hosts.split(',').any(is_none)) {
        return;
    }
    let ports: Vec<&str> = said.get("port").map_or(Vec::new(), |ports| ports.split(',').collect());
    let is_port = |port: &&str| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    if !ports.iter().all(is_port) {
        return;
    }
    let driver: Config = ours.parse().expect("the driver reads it");
    let is = |name: &str, found: Option<&str>| {
        if let Some(value) = said.get(name).filter(|value| !value.is_empty()) {
            assert_eq!(found, Some(value.as_str()), "the {name} of {url:?}");
        }
    };
    is("user", driver.get_user());
    is("dbname", driver.get_dbname());
    is("options", driver.get_options());
    let password = driver
        .get_password()
        .map(|password| String::from_utf8_lossy(password).into_owned());
    is("password", password.as_deref());
    let hosts: Vec<String> = driver.get_hosts().iter().map(name_of).collect();
    if said
        .get("host")
        .is_some_and(|hosts| hosts.split(',').all(|host| !host.is_empty()))
    {
        is("host", Some(&hosts.join(",")));
    }
    for (index, port) in ports.iter().enumerate().filter(|(_, port)| !port.is_empty()) {
        let found = driver.get_ports().get(index).copied();
        assert_eq!(found, port.parse().ok(), "a port of {url:?}");
    }
}

fn name_of(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}
