//! What people and programs read: page, API, command line and log show the same values in the words of this module.
//!
//! | file | owns |
//! |---|---|
//! | `view` | what is known of one watch at one moment: everything that is shown of it is drawn from this value |
//! | `verdict` | its state in one sentence, and how good or bad that is |
//! | `causes` | why a job is not repaired, in a few words and in a sentence: a new cause is added there |
//! | `explain` | one job: why it has its phase, and what happens next |
//! | `outcomes` | what turned out about a repair, with the commands to copy |
//! | `next` | what happens next to a job, in a few words |
//! | `json` | the shapes of `/api/v1/...` and of every `--json` |
//! | `words` | phases, actions and counts |
//! | `time` | instants and spans |
//! | `safe` | which characters of foreign texts are written out, and where a text is cut |

mod causes;
mod explain;
pub mod json;
mod next;
mod outcomes;
pub mod safe;
pub mod time;
mod verdict;
mod view;
pub mod words;

pub use causes::CauseWords;
pub use explain::{Facts, Judged, sentences};
pub use next::Next;
pub use outcomes::sentence_of;
pub use verdict::{Tone, Verdict, verdict_of};
pub use view::View;
