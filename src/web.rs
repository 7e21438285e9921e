//! What the page's worker calls: a [`Session`] behind three functions that speak JSON.
//!
//! Files travel beside the JSON as `[name, Uint8Array]` pairs, so that they are not copied into text.

use js_sys::{Array, Function, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::session::protocol::{Event, Request};
use crate::session::{Files, Problem, Session, Stop};

/// The session of a worker. One call at a time: the worker queues.
#[wasm_bindgen]
pub struct Engine {
    session: Session,
}

/// Ends what the engine is doing; usable while it does.
#[wasm_bindgen]
pub struct Stopper(Stop);

#[wasm_bindgen]
impl Stopper {
    /// What runs now ends at its next step.
    pub fn stop(&self) {
        self.0.stop();
    }
}

#[wasm_bindgen]
impl Engine {
    /// An engine without a GPU, a model or a dictionary.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Engine {
        console_error_panic_hook::set_once();
        Engine {
            session: Session::new(),
        }
    }

    /// The handle that stops what is running.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.session.stop())
    }

    /// Answers one request (`protocol::Request` as JSON, with its files). Events go to `emit` as JSON.
    /// Gives `[reply as JSON, files]`.
    ///
    /// # Errors
    /// `protocol::Problem` as JSON.
    pub async fn handle(
        &mut self,
        request: String,
        files: Array,
        emit: Function,
    ) -> Result<Array, JsValue> {
        let request: Request = serde_json::from_str(&request)
            .map_err(|e| thrown(&Problem::internal(format!("a request of the page: {e}"))))?;
        let mut out = |event: &Event| send(&emit, event);
        let (reply, files) = self
            .session
            .handle(request, taken(&files), &mut out)
            .await
            .map_err(|e| thrown(&e))?;
        let answer = Array::new();
        answer.push(&json(&reply));
        answer.push(&given(files));
        Ok(answer)
    }

    /// Goes on with what was begun and takes long (training) for a moment. Gives whether there is more.
    ///
    /// # Errors
    /// `protocol::Problem` as JSON.
    pub async fn work(&mut self, emit: Function) -> Result<bool, JsValue> {
        let mut out = |event: &Event| send(&emit, event);
        self.session.work(&mut out).await.map_err(|e| thrown(&e))
    }
}

fn json<T: serde::Serialize>(value: &T) -> JsValue {
    match serde_json::to_string(value) {
        Ok(text) => JsValue::from_str(&text),
        Err(_) => JsValue::NULL,
    }
}

fn thrown(problem: &Problem) -> JsValue {
    json(problem)
}

fn send(emit: &Function, event: &Event) {
    // A page that throws in its handler has shown the error itself.
    let _ = emit.call1(&JsValue::NULL, &json(event));
}

fn taken(files: &Array) -> Files {
    files
        .iter()
        .filter_map(|pair| {
            let pair: Array = pair.dyn_into().ok()?;
            let bytes: Uint8Array = pair.get(1).dyn_into().ok()?;
            Some((pair.get(0).as_string()?, bytes.to_vec()))
        })
        .collect()
}

fn given(files: Files) -> Array {
    files
        .into_iter()
        .map(|(name, bytes)| {
            let pair = Array::new();
            pair.push(&JsValue::from_str(&name));
            pair.push(&Uint8Array::from(bytes.as_slice()));
            pair
        })
        .collect()
}
