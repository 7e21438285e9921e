//! The protocol's types for the page: `web/protocol.d.ts` is what these types say.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};

use ts_rs::{Config, TS, TypeVisitor};

use super::protocol::{Event, Reply, Request};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/web/protocol.d.ts");

const HEAD: &str = "// The protocol between the page and its worker. Made from src/session by the test `protocol_types`; to make it
// again: UPDATE=1 cargo test --release --lib protocol_types
";

/// Declarations by name.
struct Declared<'a> {
    config: &'a Config,
    seen: BTreeSet<TypeId>,
    types: BTreeMap<String, String>,
}

impl TypeVisitor for Declared<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        T::visit_dependencies(self);
        // Others (strings, lists) have no declaration of their own.
        if T::output_path().is_some() {
            let docs = T::docs().unwrap_or_default();
            let text = format!("{docs}export {}\n", T::decl(self.config));
            self.types.insert(T::ident(self.config), text);
        }
    }
}

/// The whole file.
fn declarations() -> String {
    // JSON has one kind of number.
    let config = Config::new().with_large_int("number");
    let mut declared = Declared {
        config: &config,
        seen: BTreeSet::new(),
        types: BTreeMap::new(),
    };
    declared.visit::<Request>();
    declared.visit::<Reply>();
    declared.visit::<Event>();
    let mut text = HEAD.to_owned();
    for declaration in declared.types.values() {
        text.push('\n');
        text.push_str(declaration);
    }
    // The generator ends lines of documentation with spaces here and there.
    text.lines().flat_map(|l| [l.trim_end(), "\n"]).collect()
}

#[test]
fn protocol_types() {
    let made = declarations();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        made == kept,
        "web/protocol.d.ts is not what src/session says: run UPDATE=1 cargo test --release --lib protocol_types"
    );
}
