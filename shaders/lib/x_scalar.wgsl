// A matrix read one value or four neighbours at a time, whatever its row length.
@group(0) @binding(1) var<storage, read> x: array<f32>;
fn x1(at: u32) -> f32 { return x[at]; }
fn x4(at: u32) -> vec4<f32> { return vec4<f32>(x[at], x[at + 1u], x[at + 2u], x[at + 3u]); }
