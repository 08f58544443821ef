//! A TCP proxy that reads what a client of PostgreSQL asks, step by step, and falls silent at the step that it is given: the
//! peer is gone, and nothing says so. What it has heard is written down, so that a test can go through all of it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// Where in a conversation: the how-manieth connection, what is said on it, and the how-manieth time there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    pub connection: usize,
    pub says: String,
    pub time: usize,
}

/// Which half of a step is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The server never hears it.
    Question,
    /// The server hears it, and the client never hears of that.
    Answer,
}

/// How far the silence reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This connection alone, for ever; others are as they were.
    Connection,
    /// Every connection, for ever, and every new one until the silence is lifted.
    Network,
}

/// A silence to come.
#[derive(Clone, Debug)]
pub struct Silence {
    pub at: Step,
    pub lost: Lost,
    pub reach: Reach,
}

#[derive(Debug, Default)]
struct State {
    steps: Vec<Step>,
    /// In the order in which they are to come.
    silences: Vec<Silence>,
    connections: usize,
    /// Open connections that are no cancel requests.
    open: usize,
    /// What was still asked while no one answered.
    in_vain: BTreeSet<String>,
    /// The server's side of silent connections: a peer that is gone closes nothing.
    graveyard: Vec<OwnedWriteHalf>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Whether new connections get no answer.
    down: watch::Sender<bool>,
    /// How many of the silences have come.
    fallen: watch::Sender<usize>,
    most_open: Mutex<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A running proxy; it ends with the runtime.
pub struct Conversation {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Conversation {
    /// In front of a server on this port of loopback.
    pub async fn start(port: u16, silences: Vec<Silence>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                silences,
                ..State::default()
            }),
            down: watch::Sender::new(false),
            fallen: watch::Sender::new(0),
            most_open: Mutex::new(0),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(Line::serve(client, port, accepting.clone()));
            }
        });
        tokio::spawn(count(shared.clone()));
        Self { address, shared }
    }

    /// Every step so far, in order.
    pub fn steps(&self) -> Vec<Step> {
        self.shared.state().steps.clone()
    }

    /// What was asked while no one answered.
    pub fn asked_in_vain(&self) -> BTreeSet<String> {
        self.shared.state().in_vain.clone()
    }

    /// Waits until so many silences have come; false if they don't.
    pub async fn fell_silent(&self, times: usize, within: Duration) -> bool {
        let mut fallen = self.shared.fallen.subscribe();
        let fell = fallen.wait_for(|fallen| *fallen >= times);
        matches!(tokio::time::timeout(within, fell).await, Ok(Ok(_)))
    }

    /// New connections are answered again. Those that fell silent stay so.
    pub fn lift(&self) {
        self.shared.down.send_replace(false);
    }

    /// Open connections that are no cancel requests: now, and most for half a second. One that is being closed while the
    /// next is made is none to count.
    pub fn open(&self) -> (usize, usize) {
        (self.shared.state().open, *self.shared.most_open.lock().unwrap())
    }
}

/// One connection of a client.
struct Line {
    shared: Arc<Shared>,
    connection: usize,
    times: BTreeMap<String, usize>,
    /// What has come and is not yet a whole message.
    unread: Vec<u8>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Messages without a type: requests for TLS, for a cancel, and the startup.
    Greeting,
    /// Messages with a type, the first of its step or not.
    Talk { in_step: bool },
    /// Not to be read by us.
    Sealed,
}

/// What the next message means for those behind us.
enum Heard {
    /// Pass on so many bytes.
    Pass(usize),
    /// How many bytes are the message with which this connection falls silent.
    Fall(Lost, usize),
    /// More has to come first.
    More,
}

impl Line {
    async fn serve(client: TcpStream, port: u16, shared: Arc<Shared>) {
        let line = Self {
            shared,
            connection: 0,
            times: BTreeMap::new(),
            unread: Vec::new(),
            phase: Phase::Greeting,
        };
        let (from, to) = client.into_split();
        if *line.shared.down.borrow() {
            line.listen_in_vain(from).await;
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        let (answers, questions) = server.into_split();
        let (silent, silence) = watch::channel(false);
        let (to_client, shared) = (to, line.shared.clone());
        let answering = tokio::spawn(answer(answers, to_client, silence, shared.down.subscribe()));
        line.ask(from, questions, silent).await;
        answering.abort();
    }

    /// Reads the client to its end.
    async fn ask(mut self, mut from: OwnedReadHalf, to: OwnedWriteHalf, silent: watch::Sender<bool>) {
        let mut to = Some(to);
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            // What a server hears whose answers are lost, it hears to the end.
            if *self.shared.down.borrow() && !*silent.borrow() {
                self.bury(to.take());
                silent.send_replace(true);
            }
            self.unread.extend_from_slice(&bytes[..length]);
            loop {
                let in_vain = *silent.borrow();
                let length = match self.hear(in_vain) {
                    Heard::More => break,
                    Heard::Pass(length) => length,
                    Heard::Fall(lost, length) => {
                        silent.send_replace(true);
                        if lost == Lost::Question {
                            self.bury(to.take());
                        }
                        length
                    }
                };
                let message: Vec<u8> = self.unread.drain(..length).collect();
                if let Some(to) = &mut to
                    && to.write_all(&message).await.is_err()
                {
                    break;
                }
            }
        }
        self.bury(to.filter(|_| *silent.borrow()));
        self.close();
    }

    /// A connection that never gets an answer.
    async fn listen_in_vain(mut self, mut from: OwnedReadHalf) {
        let mut bytes = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            self.unread.extend_from_slice(&bytes[..length]);
            while let Heard::Pass(length) | Heard::Fall(_, length) = self.hear(true) {
                self.unread.drain(..length);
            }
        }
        self.close();
    }

    /// Nothing more goes to the server, and it isn't notified.
    fn bury(&self, to: Option<OwnedWriteHalf>) {
        self.shared.state().graveyard.extend(to);
    }

    fn close(&self) {
        if self.connection > 0 {
            self.shared.state().open -= 1;
        }
    }

    /// The next message, if it is whole.
    fn hear(&mut self, in_vain: bool) -> Heard {
        match self.phase {
            Phase::Sealed if self.unread.is_empty() => Heard::More,
            Phase::Sealed => Heard::Pass(self.unread.len()),
            Phase::Greeting => self.greeting(in_vain),
            Phase::Talk { in_step } => self.talk(in_step, in_vain),
        }
    }

    fn greeting(&mut self, in_vain: bool) -> Heard {
        // The first byte of a TLS record; no greeting is as long as it would mean.
        if self.unread.first() == Some(&0x16) {
            let heard = self.step("TLS handshake", self.unread.len(), in_vain);
            self.phase = Phase::Sealed;
            return heard;
        }
        let Some(length) = number(&self.unread, 0).filter(|length| self.unread.len() >= *length) else {
            return Heard::More;
        };
        match number(&self.unread, 4) {
            Some(80_877_103) => self.step("TLS request", length, in_vain),
            Some(80_877_102) => self.step("cancel", length, in_vain),
            _ => {
                self.phase = Phase::Talk { in_step: false };
                self.step("startup", length, in_vain)
            }
        }
    }

    fn talk(&mut self, in_step: bool, in_vain: bool) -> Heard {
        let Some(length) = number(&self.unread, 1).filter(|length| self.unread.len() > *length) else {
            return Heard::More;
        };
        let (kind, length) = (self.unread[0], length + 1);
        let body = &self.unread[5..length];
        match kind {
            b'P' => {
                let says = body.splitn(3, |byte| *byte == 0).nth(1).map(name_of);
                self.phase = Phase::Talk { in_step: true };
                self.step(&says.unwrap_or_default(), length, in_vain)
            }
            b'Q' => self.step(&name_of(body), length, in_vain),
            b'p' => self.step("password", length, in_vain),
            b'S' if in_step => {
                self.phase = Phase::Talk { in_step: false };
                Heard::Pass(length)
            }
            _ => Heard::Pass(length),
        }
    }

    /// Writes a step down; whether the silence comes with it.
    fn step(&mut self, says: &str, length: usize, in_vain: bool) -> Heard {
        let mut state = self.shared.state();
        if in_vain {
            state.in_vain.insert(says.to_owned());
        }
        if self.connection == 0 && says != "cancel" {
            state.connections += 1;
            self.connection = state.connections;
            state.open += 1;
        }
        let time = self.times.entry(says.to_owned()).or_default();
        *time += 1;
        let step = Step {
            connection: self.connection,
            says: says.to_owned(),
            time: *time,
        };
        state.steps.push(step.clone());
        // A statement with a name is met with silence whichever connection says it: a busy machine may have cost one before.
        let is_plain = says.starts_with("BEGIN") || says == "COMMIT";
        let is_met =
            |at: &Step| at.says == step.says && at.time == step.time && (at.connection == step.connection || !is_plain);
        if in_vain || !state.silences.first().is_some_and(|silence| is_met(&silence.at)) {
            return Heard::Pass(length);
        }
        let silence = state.silences.remove(0);
        drop(state);
        if silence.reach == Reach::Network {
            self.shared.down.send_replace(true);
        }
        self.shared.fallen.send_modify(|fallen| *fallen += 1);
        Heard::Fall(silence.lost, length)
    }
}

/// Keeps the most connections that were open during five looks in a row.
async fn count(shared: Arc<Shared>) {
    let mut last = VecDeque::from([0; 5]);
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        last.rotate_left(1);
        last[4] = shared.state().open;
        let held = last.iter().copied().min().unwrap_or_default();
        let mut most = shared.most_open.lock().unwrap();
        *most = held.max(*most);
    }
}

/// Passes the server's answers on until the connection falls silent.
async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut silent: watch::Receiver<bool>,
    mut down: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            biased;
            () = is_true(&mut silent) => break,
            () = is_true(&mut down) => break,
            read = from.read(&mut bytes) => match read {
                Ok(length @ 1..) if to.write_all(&bytes[..length]).await.is_ok() => {}
                // The server has ended it, and says so.
                _ => return,
            },
        }
    }
    // Open, and silent.
    std::future::pending::<()>().await;
}

async fn is_true(signal: &mut watch::Receiver<bool>) {
    // The sender is there for as long as the connection.
    let _ = signal.wait_for(|is_set| *is_set).await;
}

/// What a statement is called by its own comment, else its first words.
fn name_of(statement: &[u8]) -> String {
    let text = String::from_utf8_lossy(statement);
    let text = text.trim_end_matches('\0');
    let named = text.split_once("/* beatwarden: ").and_then(|(before, rest)| {
        let name = rest.split_once(" */")?.0;
        Some(match before.starts_with("EXPLAIN") {
            true => format!("EXPLAIN {name}"),
            false => name.to_owned(),
        })
    });
    named.unwrap_or_else(|| text.split([';', '=']).next().unwrap_or_default().trim().to_owned())
}

/// A big-endian number of four bytes.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}
