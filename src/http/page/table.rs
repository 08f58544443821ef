//! A table that becomes cards on a narrow screen, and what stands in its cells.

use super::{place::Place, text};
use maud::{Markup, html};

/// One row: its class, its identity where it has an address of its own, whether the reader marked it, and its cells.
pub(super) struct Row<const N: usize> {
    pub class: &'static str,
    pub anchor: Option<String>,
    pub is_marked: bool,
    pub cells: [Markup; N],
}

/// A table whose rows become cards on a narrow screen: each cell knows its heading, and the roles outlive `display: block`.
pub(super) fn table<const N: usize>(caption: &str, headings: [&str; N], rows: &[Row<N>]) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table role="table" {
                caption.unseen { (caption) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for heading in headings { th role="columnheader" scope="col" { (heading) } }
                    }
                }
                tbody role="rowgroup" {
                    @for row in rows {
                        tr role="row" class={ (row.class) @if row.is_marked { " marked" } } id=[&row.anchor] {
                            @for (heading, cell) in headings.iter().zip(&row.cells) {
                                td role="cell" data-label=(heading) { div { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A job by its name and its key, which is a link to its own row.
pub(super) fn name_and_id(place: &Place<'_>, name: Option<&str>, id: &str) -> Markup {
    let link = place.anchor(id).map(|anchor| place.asked.at_job(&anchor));
    html! {
        @if let Some(name) = name { bdi.name { (text(name)) } " " }
        @let class = if name.is_some() { "id" } else { "name" };
        @match link {
            Some(link) => { a href=(link) { bdi class=(class) { (text(id)) } } }
            None => { bdi class=(class) { (text(id)) } }
        }
    }
}

/// Words of our own that look broken when they are.
pub(super) fn whole(words: &str) -> Markup {
    html! { span.whole { (words) } }
}
