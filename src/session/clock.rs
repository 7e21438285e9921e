//! The time, and how long something took, in a browser too, where there is no `Instant`.

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    #[cfg(not(target_arch = "wasm32"))]
    began: std::time::Instant,
    #[cfg(target_arch = "wasm32")]
    began: f64,
}

impl Clock {
    /// Now.
    pub(super) fn start() -> Clock {
        Clock {
            #[cfg(not(target_arch = "wasm32"))]
            began: std::time::Instant::now(),
            #[cfg(target_arch = "wasm32")]
            began: js_sys::Date::now(),
        }
    }

    /// Milliseconds since.
    pub(super) fn ms(&self) -> f64 {
        #[cfg(not(target_arch = "wasm32"))]
        return self.began.elapsed().as_secs_f64() * 1e3;
        #[cfg(target_arch = "wasm32")]
        return js_sys::Date::now() - self.began;
    }
}

/// Milliseconds since 1970.
#[cfg(target_arch = "wasm32")]
pub(super) fn now() -> f64 {
    js_sys::Date::now()
}

/// Milliseconds since 1970.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64() * 1e3)
}
