//! The encoded metrics. Encoding costs more than answering, so each watch is encoded again only after it changed, each
//! family is joined and compressed again only where the lines of a watch in it did, and everything else is kept.

use bytes::Bytes;
use flate2::{Compression, Crc, write::DeflateEncoder};
use prometheus::{TextEncoder, proto::MetricFamily};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    mem,
    sync::{Arc, OnceLock},
};

/// The header of a gzip member without name and time ([RFC 1952](https://www.rfc-editor.org/rfc/rfc1952#section-2.3)).
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// An empty last block: the end of a deflate stream.
const DEFLATE_END: [u8; 2] = [3, 0];

/// Everything in the text format, as it stood at one moment.
#[derive(Debug)]
pub struct Scrape {
    families: Vec<Arc<Family>>,
    text: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
}

impl Scrape {
    fn new(families: Vec<Arc<Family>>) -> Self {
        Self {
            families,
            text: OnceLock::new(),
            gzip: OnceLock::new(),
        }
    }

    /// The text; joined once.
    pub fn text(&self) -> Bytes {
        let join = || {
            let texts: Vec<&str> = self.families.iter().map(|family| family.text.as_str()).collect();
            texts.concat().into()
        };
        self.text.get_or_init(join).clone()
    }

    /// The text as one gzip member; joined once, from families that are compressed once.
    pub fn gzip(&self) -> Bytes {
        let join = || {
            let mut body = GZIP_HEADER.to_vec();
            let mut sum = Crc::new();
            for family in &self.families {
                sum.update(family.text.as_bytes());
                body.extend_from_slice(family.deflated());
            }
            body.extend_from_slice(&DEFLATE_END);
            body.extend_from_slice(&sum.sum().to_le_bytes());
            body.extend_from_slice(&sum.amount().to_le_bytes());
            body.into()
        };
        self.gzip.get_or_init(join).clone()
    }
}

/// A metric with the lines of all watches: the format wants them in one group.
#[derive(Debug)]
struct Family {
    text: String,
    deflated: OnceLock<Vec<u8>>,
}

impl Family {
    /// The text compressed for itself: whole bytes without an end, so that several make one stream.
    fn deflated(&self) -> &[u8] {
        self.deflated.get_or_init(|| {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
            encoder
                .write_all(self.text.as_bytes())
                .and_then(|()| encoder.flush())
                .expect("writing to memory doesn't fail");
            // Before the encoder writes its end.
            mem::take(encoder.get_mut())
        })
    }
}

/// One metric of one watch: what names the metric, and the lines.
#[derive(Debug, PartialEq)]
struct Lines {
    head: String,
    lines: String,
}

/// The metrics of one watch, or of the process itself, encoded; by name.
#[derive(Debug, Default)]
pub(super) struct Series(BTreeMap<String, Lines>);

impl Series {
    pub(super) fn encode(families: Vec<MetricFamily>) -> Self {
        let mut all = BTreeMap::new();
        for family in families {
            let name = family.name().to_owned();
            let mut head = TextEncoder::new()
                .encode_to_string(&[family])
                .expect("the names and labels of all metrics are valid");
            // A line of help, in which line breaks are escaped, and one of the type.
            let behind_help = head.find('\n').map_or(0, |at| at + 1);
            let behind_head = head[behind_help..].find('\n').map_or(0, |at| behind_help + at + 1);
            let lines = head.split_off(behind_head);
            all.insert(name, Lines { head, lines });
        }
        Self(all)
    }

    /// The names of the metrics in which one differs from the other.
    fn differences<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a String> {
        let names = self.0.keys().chain(other.0.keys());
        names.filter(|name| self.0.get(*name) != other.0.get(*name))
    }
}

/// What was encoded last, in the order of the watches.
#[derive(Debug)]
pub(super) struct Kept<K> {
    /// Of what each was encoded, and what came of it.
    series: Vec<(K, Series)>,
    families: BTreeMap<String, Arc<Family>>,
    scrape: Option<Arc<Scrape>>,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            series: Vec::new(),
            families: BTreeMap::new(),
            scrape: None,
        }
    }
}

impl<K: PartialEq> Kept<K> {
    /// The scrape of all `sources`; `encode` is asked for those that were not among the last ones.
    pub(super) fn scrape(&mut self, sources: Vec<K>, mut encode: impl FnMut(&K) -> Series) -> Arc<Scrape> {
        let is_kept = self.series.iter().map(|(source, _)| source).eq(&sources);
        if let Some(scrape) = self.scrape.as_ref().filter(|_| is_kept) {
            return scrape.clone();
        }
        let mut changed = BTreeSet::new();
        let mut before = mem::take(&mut self.series).into_iter();
        for source in sources {
            // Each stands at the place of the one before it, but after a reload.
            let series = match before.next() {
                Some((same, series)) if same == source => series,
                other => {
                    let former = other.map(|(_, series)| series).unwrap_or_default();
                    let series = encode(&source);
                    changed.extend(series.differences(&former).cloned());
                    series
                }
            };
            self.series.push((source, series));
        }
        changed.extend(before.flat_map(|(_, series)| series.0.into_keys()));
        for name in changed {
            self.join(name);
        }
        let scrape = Arc::new(Scrape::new(self.families.values().cloned().collect()));
        self.scrape = Some(scrape.clone());
        scrape
    }

    /// Everything is encoded again next time.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Joins the lines of a family again.
    fn join(&mut self, name: String) {
        let mut text = String::new();
        for of_one in self.series.iter().filter_map(|(_, series)| series.0.get(&name)) {
            if text.is_empty() {
                text.push_str(&of_one.head);
            }
            text.push_str(&of_one.lines);
        }
        if text.is_empty() {
            self.families.remove(&name);
        } else {
            let deflated = OnceLock::new();
            self.families.insert(name, Arc::new(Family { text, deflated }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use prometheus::{GaugeVec, Opts, Registry, core::Collector};
    use std::io::Read;

    /// A source: a watch, its value, and whether it has a second metric.
    type Source = (&'static str, i32, bool);

    fn encode((watch, value, more): &Source) -> Series {
        let registry = Registry::new();
        for name in ["first", "second"].iter().take(1 + usize::from(*more)) {
            let gauge = GaugeVec::new(Opts::new(*name, "Help\nin two lines."), &["watch"]).unwrap();
            gauge.with_label_values(&[watch]).set(f64::from(*value));
            registry.register(Box::new(gauge) as Box<dyn Collector>).unwrap();
        }
        Series::encode(registry.gather())
    }

    /// A scrape and how many watches it cost to encode.
    fn scrape(kept: &mut Kept<Source>, sources: &[Source]) -> (Arc<Scrape>, usize) {
        let mut encoded = 0;
        let scrape = kept.scrape(sources.to_vec(), |source| {
            encoded += 1;
            encode(source)
        });
        (scrape, encoded)
    }

    /// How many families of one scrape are those of another, with what they were compressed to.
    fn shared(one: &Scrape, other: &Scrape) -> usize {
        let pairs = one.families.iter().zip(&other.families);
        pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count()
    }

    fn unpacked(scrape: &Scrape) -> String {
        let mut text = String::new();
        GzDecoder::new(&scrape.gzip()[..]).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_scrape_encodes_the_watches_that_changed_and_joins_the_families_in_which_they_did() {
        let mut kept = Kept::default();
        let mut watches: Vec<Source> = vec![("a", 1, true), ("b", 1, true), ("c", 1, true)];
        let (first, encoded) = scrape(&mut kept, &watches);
        assert_eq!(encoded, 3);
        let (again, encoded) = scrape(&mut kept, &watches);
        assert_eq!(encoded, 0);
        assert!(Arc::ptr_eq(&first, &again));
        watches[1] = ("b", 1, false);
        let (one_lost, encoded) = scrape(&mut kept, &watches);
        assert_eq!((encoded, shared(&first, &one_lost)), (1, 1));
        watches[1] = ("b", 1, true);
        scrape(&mut kept, &watches);
        watches[2] = ("c", 2, true);
        let (other, encoded) = scrape(&mut kept, &watches);
        assert_eq!((encoded, shared(&first, &other)), (1, 0));
    }

    #[test]
    fn the_lines_of_a_family_stand_together_under_one_head_and_the_packed_text_is_the_same() {
        let mut kept = Kept::default();
        let (both, _) = scrape(&mut kept, &[("a", 1, true), ("b", 2, true)]);
        let family =
            |name: &str, lines: &str| format!("# HELP {name} Help\\nin two lines.\n# TYPE {name} gauge\n{lines}");
        let second = family("second", "second{watch=\"a\"} 1\nsecond{watch=\"b\"} 2\n");
        let expected = family("first", "first{watch=\"a\"} 1\nfirst{watch=\"b\"} 2\n") + &second;
        assert_eq!(both.text(), expected);
        assert_eq!(unpacked(&both), expected);
        // What was packed before is part of what is packed now.
        let (changed, _) = scrape(&mut kept, &[("a", 1, true), ("b", 3, false)]);
        assert_eq!(unpacked(&changed), std::str::from_utf8(&changed.text()).unwrap());
    }

    #[test]
    fn a_watch_that_is_no_more_leaves_no_line_behind() {
        let mut kept = Kept::default();
        scrape(&mut kept, &[("a", 1, false), ("b", 2, true), ("c", 3, false)]);
        let (rest, _) = scrape(&mut kept, &[("a", 1, false), ("c", 3, false)]);
        let text = rest.text();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.ends_with("first{watch=\"a\"} 1\nfirst{watch=\"c\"} 3\n"), "{text}");
        assert!(!text.contains("second"), "{text}");
        assert_eq!(unpacked(&rest), text);
        let (none, _) = scrape(&mut kept, &[]);
        assert!(none.text().is_empty());
        assert_eq!(unpacked(&none), "");
    }
}
