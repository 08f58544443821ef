//! `healthcheck` before servers that are none of ours, and the help and completions of every command.

use crate::support::beatwarden::run;
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

/// What a server on a port that is not ours answers, in pieces with a pause between them.
#[expect(clippy::disallowed_methods, reason = "a slow server, on a thread of its own")]
fn server(answer: &'static [u8], piece: usize, pause: Duration, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 512]);
            'answer: for _ in 0..times {
                for part in answer.chunks(piece) {
                    if stream.write_all(part).is_err() {
                        break 'answer;
                    }
                    thread::sleep(pause);
                }
            }
        }
    });
    address
}

#[test]
fn a_healthcheck_ends_in_time_and_believes_no_other_program() {
    let healthy = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhealthy\n";
    let (status, _, said) = run(&["healthcheck", "--listen", &server(healthy, 4096, Duration::ZERO, 1)]);
    assert!(status.success(), "it needs nothing but the address: {said}");
    let cases: [(&'static [u8], usize, Duration, usize, &str); 5] = [
        (healthy, 1, Duration::from_millis(300), 1, "no whole answer within 3s"),
        (
            b"HTTP/1.1 200 OK\r\n\r\n",
            4096,
            Duration::from_secs(60),
            1,
            "no whole answer within 3s",
        ),
        (&[b'x'; 65536], 65536, Duration::ZERO, usize::MAX, "longer than"),
        (
            b"HTTP/1.1 200 OK\r\n\r\n<html>it works</html>",
            4096,
            Duration::ZERO,
            1,
            "it works",
        ),
        (b"SSH-2.0-OpenSSH\r\n", 4096, Duration::ZERO, 1, "no HTTP answer"),
    ];
    for (answer, piece, pause, times, words) in cases {
        let began = Instant::now();
        let (status, _, said) = run(&["healthcheck", "--listen", &server(answer, piece, pause, times)]);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("not healthy") && said.contains(words), "{said}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{words}: {:?}",
            began.elapsed()
        );
    }
}

#[test]
fn help_has_a_command_s_own_options_first_and_none_that_mean_nothing_to_it() {
    let help = |command: &str| run(&[command, "--help"]).1;
    let repair = help("repair");
    let place = |word: &str| repair.find(word).unwrap_or_else(|| panic!("{word}: {repair}"));
    assert!(
        place("--dry-run") < place("Configuration, for every command:"),
        "{repair}"
    );
    assert!(
        place("Configuration, for every command:") < place("--init-deadline"),
        "{repair}"
    );
    for (command, used) in [
        ("completions", &[][..]),
        ("healthcheck", &["--config", "--listen"]),
        ("demo", &["--once", "--listen"]),
    ] {
        let said = help(command);
        for flag in ["--database", "--init-deadline", "--preset", "--watch"] {
            assert!(!said.contains(flag), "{command} has no use for {flag}: {said}");
        }
        for flag in used {
            assert!(said.contains(flag), "{command} takes {flag}: {said}");
        }
    }
    // Those who pass the same flags to every command are not refused.
    let (status, _, said) = run(&["completions", "bash", "--database", "x.db", "--preset", "meltano"]);
    assert!(status.success(), "{said}");
}

#[test]
fn completions_offer_values_where_they_are_known_and_files_where_files_are_meant() {
    let (_, bash, _) = run(&["completions", "bash"]);
    let presets = beatwarden::config::preset_names().collect::<Vec<_>>().join(" ");
    for (flag, words) in [
        ("--missed-first", "observe backfill fail"),
        ("--preset", presets.as_str()),
        ("--log-level", "error warn info debug trace"),
        ("--log-format", "text json"),
    ] {
        let offered = format!("{flag})\n                    COMPREPLY=($(compgen -W \"{words}\"");
        assert!(bash.contains(&offered), "{flag}: {bash}");
    }
    let watch = bash.split("--watch)\n").nth(1).unwrap().lines().next().unwrap();
    assert!(!watch.contains("compgen -f"), "{watch}");
    let (_, fish, _) = run(&["completions", "fish"]);
    let config = fish.lines().find(|line| line.contains("-l config ")).unwrap();
    assert!(config.contains("-r -F"), "{config}");
}
