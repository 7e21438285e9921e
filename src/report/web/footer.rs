//! The foot of the page: what computes, and whether it computes what it should.

use maud::{Markup, html};

/// The foot.
pub fn footer() -> Markup {
    html! {
        footer.foot {
            p {
                span #facts { "The GPU is not open yet." }
                " "
                button #selftest type="button" title="Every kernel on this GPU against its reference on the CPU" { "Self-test" }
                " "
                span #selftest-result role="status" {}
            }
            ul #selftest-failed hidden {}
            p { "mosaec " (env!("CARGO_PKG_VERSION")) ". Everything runs in this tab; nothing that you type or drop leaves it." }
        }
    }
}
