//! The view Your own model: what is open, and the place to drop files.

use maud::{Markup, html};

/// The view before anything is loaded.
pub fn view() -> Markup {
    html! {
        h1 { "Your own model" }
        p.lead {
            "Drop the folder of a model or of a dictionary anywhere on this page. The files are read here and "
            "go nowhere else."
        }
        div #drop .drop {
            p { "Drop files or a folder here, or choose them:" }
            div.actions {
                label.button { "Choose files" input #model-files type="file" multiple; }
                label.button { "Choose a folder" input #model-folder type="file" webkitdirectory multiple; }
            }
        }
        dl.facts {
            dt { "A model" }
            dd {
                code { "config.json" } ", " code { "model.safetensors" } " (or its shards with their index) and "
                code { "tokenizer.json" } ", as on the Hugging Face hub. Families: GPT-2, GPT-NeoX (Pythia), Llama."
            }
            dt { "A dictionary" }
            dd {
                code { "cfg.json" } " and " code { "sae_weights.safetensors" } " in SAELens' layout (standard or topk), "
                "trained on the open model; or a zip that was saved here."
            }
            dt { "A text" }
            dd { "A .txt or .jsonl file becomes the text to train on." }
            dt { "How large" }
            dd {
                "A page can hold about 2 GB of files. Models up to some hundred million parameters are comfortable on a "
                "laptop's GPU."
            }
        }
        h2 { "Open now" }
        p #model-note .muted role="status" {}
        div #model-open { p.muted { "Nothing is loaded." } }
        div.actions {
            button #model-embedded type="button" { "Load the model that comes with this page" }
        }
    }
}
