//! The time, for pacing and rates.

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
