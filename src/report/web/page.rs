//! The document of the first paint: everything that can be seen and read before a model is loaded, and
//! the empty places that the script fills.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::super::atlas::Atlas;
use super::super::{charts, page};
use super::{features, footer, model, patch, read, start, steer, train};

/// What the page needs beyond the report's look.
pub const CSS: &str = include_str!("../assets/web.css");

/// A file that the page fetches when it is asked to.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Asset {
    /// Path from the page.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// What the page can fetch.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Bundle {
    /// Changes whenever any of the files does.
    pub version: String,
    /// Name of the model in `model/`.
    pub model: String,
    /// Name of a dictionary in `own/` that is opened with the model, if there is one.
    pub own: Option<String>,
    /// The files of the model, the dictionaries and the text.
    pub files: Vec<Asset>,
}

/// The views: anchor and name, in the order of the navigation.
pub const VIEWS: [(&str, &str); 7] = [
    ("start", "Start"),
    ("read", "Read"),
    ("features", "Features"),
    ("steer", "Steer"),
    ("patch", "Patch"),
    ("train", "Train"),
    ("model", "Your own model"),
];

/// The whole document.
pub fn document(atlas: &Atlas, bundle: &Bundle) -> String {
    let bytes = |prefix: &str| -> u64 {
        let of = bundle.files.iter().filter(|a| a.path.starts_with(prefix));
        of.map(|a| a.bytes).sum()
    };
    let megabytes = (bytes("model/") + bytes("dictionary/sae") + bytes("own/")) as f64 / 1e6;
    let list = serde_json::to_string(bundle).unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="description" content="Find, explain and test the interpretable features inside a language model, in this tab.";
                title { "mosaec" }
                style { (PreEscaped(page::CSS)) }
                style id="chart-css" { (PreEscaped(charts::CSS)) }
                style { (PreEscaped(CSS)) }
                link rel="icon" href="data:,";
                link rel="modulepreload" href="js/app.js";
            }
            body.web {
                a.skip href="#main" { "Skip to the page" }
                header.bar {
                    a.brand href="#start" { "mosaec" }
                    nav.views aria-label="Views" {
                        @for (id, name) in VIEWS { a href={ "#" (id) } { (name) } }
                    }
                }
                p #status .status role="status" { "Nothing is loaded. What you see was computed before." }
                div #problem .problem role="alert" hidden {}
                div #progress .progress hidden {
                    progress max="1" value="0" {}
                    span.what {}
                    button #stop type="button" { "Stop" }
                }
                main id="main" tabindex="-1" {
                    (view("start", false, &start::view(atlas, megabytes)))
                    (view("read", true, &read::view(atlas, megabytes)))
                    (view("features", true, &features::view(atlas, megabytes)))
                    (view("steer", true, &steer::view(atlas, megabytes)))
                    (view("patch", true, &patch::view(megabytes)))
                    (view("train", true, &train::view()))
                    (view("model", true, &model::view()))
                }
                (footer::footer())
                script type="application/json" #files { (PreEscaped(list.replace('<', "\\u003c"))) }
                script type="module" src="js/app.js" {}
            }
        }
    };
    page.into_string()
        .replace(|c: char| c.is_control() && c != '\n', " ")
}

fn view(id: &str, hidden: bool, body: &Markup) -> Markup {
    html! {
        section.view id={ "view-" (id) } hidden[hidden] { (body) }
    }
}

/// The button that loads the embedded model.
pub fn load_button(megabytes: f64) -> Markup {
    html! {
        button.load type="button" {
            "Load the model (" (format!("{megabytes:.1}")) " MB)"
        }
    }
}
